"""Labelled pictures on disk: a folder with `dataset.json` and numbered chunks of frames.

A chunk is one .npz without pickles, written whole or not at all.  Pictures lie in it as JPEG and
PNG, one after the other, with offsets; what belongs to persons lies in arrays with one row per
person and the index of its frame.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from jaxtyping import Bool, Float32, Float64, Int32, Int64, Shaped, UInt8, UInt16

from edge_pose.errors import ConfigError
from edge_pose.skeleton import NUM_JOINTS
from train.synth.frames import LabelledFrame

JPEG_QUALITY: Final = 93
PNG_COMPRESSION: Final = 1
MOST_DEPTH_MM: Final = 65535
MANIFEST: Final = "dataset.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """What one file holds; the field names are those in the file."""

    camera_matrix: Float64[np.ndarray, "frames 3 3"]
    frame_seed: Int64[np.ndarray, "frames"]
    size: Int32[np.ndarray, "frames 2"]
    """Width, height."""
    jpeg_bytes: UInt8[np.ndarray, "_"]
    jpeg_offsets: Int64[np.ndarray, "frames+1"]
    ids_png_bytes: UInt8[np.ndarray, "_"]
    """8-bit: 0 for background and occluders, else the person's number."""
    ids_png_offsets: Int64[np.ndarray, "frames+1"]
    soft_png_bytes: UInt8[np.ndarray, "_"]
    """8-bit: share of the pixel that shows people."""
    soft_png_offsets: Int64[np.ndarray, "frames+1"]
    depth_png_bytes: UInt8[np.ndarray, "_"]
    """16-bit: millimetres along the camera's axis to people; 0 elsewhere."""
    depth_png_offsets: Int64[np.ndarray, "frames+1"]
    frame: Int32[np.ndarray, "people"]
    number: Int32[np.ndarray, "people"]
    joints_m: Float32[np.ndarray, "people joints 3"]
    joints_px: Float32[np.ndarray, "people joints 2"]
    visible: Bool[np.ndarray, "people joints"]
    inside: Bool[np.ndarray, "people joints"]
    box_px: Float32[np.ndarray, "people 4"]
    full_box_px: Float32[np.ndarray, "people 4"]
    visible_fraction: Float32[np.ndarray, "people"]
    activity: Shaped[np.ndarray, "people"]

    def __len__(self) -> int:
        """Count the frames."""
        return len(self.frame_seed)

    def image(self, index: int) -> UInt8[np.ndarray, "height width 3"]:
        """Decode the picture of a frame, RGB."""
        picture = _decode(self.jpeg_bytes, self.jpeg_offsets, index, cv2.IMREAD_COLOR)
        return np.ascontiguousarray(picture[:, :, ::-1])

    def ids(self, index: int) -> UInt8[np.ndarray, "height width"]:
        """Decode who is seen at each pixel."""
        return _decode(self.ids_png_bytes, self.ids_png_offsets, index, cv2.IMREAD_UNCHANGED)

    def soft(self, index: int) -> UInt8[np.ndarray, "height width"]:
        """Decode how much of each pixel shows people."""
        return _decode(self.soft_png_bytes, self.soft_png_offsets, index, cv2.IMREAD_UNCHANGED)

    def depth_mm(self, index: int) -> UInt16[np.ndarray, "height width"]:
        """Decode the depth of people."""
        return _decode(self.depth_png_bytes, self.depth_png_offsets, index, cv2.IMREAD_UNCHANGED)


def _decode(
    data: UInt8[np.ndarray, "_"],
    offsets: Int64[np.ndarray, "_"],
    index: int,
    flag: int,
) -> Shaped[np.ndarray, "..."]:
    picture = cv2.imdecode(data[offsets[index] : offsets[index + 1]], flag)
    assert picture is not None
    return picture


def pack_chunk(frames: Sequence[LabelledFrame]) -> Chunk:
    """Encode labelled frames."""
    png = [cv2.IMWRITE_PNG_COMPRESSION, PNG_COMPRESSION]
    jpegs = _encode(
        ".jpg",
        [frame.image[:, :, ::-1] for frame in frames],
        [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY],
    )
    ids = _encode(".png", [frame.person for frame in frames], png)
    soft = _encode(".png", [frame.soft for frame in frames], png)
    depths = _encode(".png", [_millimetres(frame.depth_m) for frame in frames], png)
    people = [(index, label) for index, frame in enumerate(frames) for label in frame.people]
    labels = [label for _, label in people]
    sizes = [(frame.camera.width_px, frame.camera.height_px) for frame in frames]
    return Chunk(
        jpeg_bytes=jpegs[0],
        jpeg_offsets=jpegs[1],
        ids_png_bytes=ids[0],
        ids_png_offsets=ids[1],
        soft_png_bytes=soft[0],
        soft_png_offsets=soft[1],
        depth_png_bytes=depths[0],
        depth_png_offsets=depths[1],
        camera_matrix=np.stack([frame.camera.matrix for frame in frames]),
        frame_seed=np.array([frame.seed for frame in frames], np.int64),
        size=np.array(sizes, np.int32),
        frame=np.array([index for index, _ in people], np.int32),
        number=np.array([label.number for label in labels], np.int32),
        joints_m=_rows([label.joints_m for label in labels], (NUM_JOINTS, 3)),
        joints_px=_rows([label.joints_px for label in labels], (NUM_JOINTS, 2)),
        visible=np.array([label.visible for label in labels], bool).reshape(-1, NUM_JOINTS),
        inside=np.array([label.inside for label in labels], bool).reshape(-1, NUM_JOINTS),
        box_px=_rows([label.box_px for label in labels], (4,)),
        full_box_px=_rows([label.full_box_px for label in labels], (4,)),
        visible_fraction=np.array([label.visible_fraction for label in labels], np.float32),
        activity=np.array([label.activity for label in labels], "<U16"),
    )


def _millimetres(
    depth_m: Float32[np.ndarray, "height width"],
) -> UInt16[np.ndarray, "height width"]:
    return np.clip(np.round(depth_m * 1000), 0, MOST_DEPTH_MM).astype(np.uint16)


def _rows(
    rows: Sequence[Float32[np.ndarray, "..."]],
    shape: tuple[int, ...],
) -> Float32[np.ndarray, "people ..."]:
    return np.array(rows, np.float32).reshape(-1, *shape)


def _encode(
    extension: str,
    pictures: Sequence[Shaped[np.ndarray, "..."]],
    options: list[int],
) -> tuple[UInt8[np.ndarray, "_"], Int64[np.ndarray, "_"]]:
    encoded = [cv2.imencode(extension, picture, options)[1].ravel() for picture in pictures]
    offsets = np.cumsum([0, *(len(data) for data in encoded)], dtype=np.int64)
    return np.concatenate(encoded), offsets


def is_rendered(folder: Path) -> bool:
    """Tell whether a folder holds chunks."""
    return any(folder.glob("chunk-*.npz"))


def chunk_path(folder: Path, index: int) -> Path:
    """Name the file of a chunk."""
    return folder / f"chunk-{index:05d}.npz"


def write_chunk(path: Path, chunk: Chunk) -> None:
    """Write a chunk whole or not at all."""
    write_arrays(path, {field.name: getattr(chunk, field.name) for field in fields(chunk)})


def write_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write named arrays as one archive, whole or not at all."""
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        np.savez(file, **arrays)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def read_chunk(path: Path) -> Chunk:
    """Read a chunk into memory; its pictures stay encoded."""
    with np.load(path, allow_pickle=False) as arrays:
        return Chunk(**{field.name: arrays[field.name] for field in fields(Chunk)})


def open_dataset(folder: Path, recipe: Mapping[str, object]) -> None:
    """Start a data set, or continue one that was made by the very same recipe."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / MANIFEST
    if not path.exists():
        if chunk_path(folder, 0).exists():
            raise ConfigError(
                f"{folder} holds chunks but no {MANIFEST}, so nobody knows how they were made; "
                "choose an empty folder.",
            )
        part = path.with_suffix(".part")
        part.write_text(json.dumps(recipe, indent=1) + "\n")
        part.replace(path)
        return
    found = json.loads(path.read_text())
    different = [key for key in recipe if found.get(key) != recipe[key]]
    if different:
        key = different[0]
        raise ConfigError(
            f"{path} was made with {key} {found.get(key)!r}, now {recipe[key]!r} is asked for; "
            "give the same options again or choose another folder.",
        )
