"""Teacher labels on disk: shards of pictures and the people in them, each written in one piece.

In: `LabelledImage`s.  Out: `labels-00000.npz` … and `labels.json`; and back, with `read_labels`.

A shard (no pickles) holds, per picture: `jpeg_bytes` and `jpeg_offsets`, `key`, `source`,
`licence`, `group`, `size` int32 (width, height).  Per labelled person: `image` int32 (index in
the shard), `joints_px` float32 [25,2], `confidence` float32 [25] (0 = no label), `box_px` float32
[4], `reach_px` float32 [2,2], `mask_png_bytes` and `mask_png_offsets` (soft 8-bit mask of the
picture's size), `quality`, `disagreement_px`.  Per box of the people teacher: `det_image`,
`det_box_px`, `det_score`.  Per box that came with the picture: `given_image`, `given_kind`,
`given_box_px`.  Per reason for which people were turned down: `rejected_reason`,
`rejected_count`.

Beside a shard may lie `overlooked-00000.npz`, of people whose heads came with the picture and whom
no teacher boxed (`python -m train overlooked`): `image`, `box_px` and `network`, the hash of the
pose network that saw them.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from edge_pose.errors import SourceError
from train.sources import BOX_KINDS, GivenBox

SCHEMA: Final = 2
SHARD_PICTURES: Final = 256
JPEG_QUALITY: Final = 92
INDEX_FILE: Final = "labels.json"


def _no_boxes() -> Float32[np.ndarray, "0 4"]:
    return np.zeros((0, 4), np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledPerson:
    """What the teacher says about one person; an opinion, not truth."""

    joints_px: Float32[np.ndarray, "25 2"]
    confidence: Float32[np.ndarray, "25"]
    """0 where there is no label."""
    box_px: Float32[np.ndarray, "4"]
    """Tight box of what is visible of the person in the picture."""
    reach_px: Float32[np.ndarray, "2 2"]
    """Middle of the hips, and the point straight above as far away as the whole body reaches."""
    mask_png: bytes
    quality: float
    disagreement_px: float

    def mask(self) -> UInt8[np.ndarray, "height width"]:
        """Return the soft foreground mask, of the picture's size."""
        return _decode(self.mask_png, cv2.IMREAD_GRAYSCALE)


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledImage:
    """A real picture and the people the teachers see in it."""

    jpeg: bytes
    key: str
    source: str
    licence: str
    group: str
    width_px: int
    height_px: int
    people: tuple[LabelledPerson, ...]
    detected_px: Float32[np.ndarray, "detected 4"]
    """All boxes of the people teacher, also of people without a pose label."""
    detected_scores: Float32[np.ndarray, "detected"]
    given: tuple[GivenBox, ...]
    overlooked_px: Float32[np.ndarray, "overlooked 4"] = field(default_factory=_no_boxes)
    """Boxes of people whose heads came with the picture and whom no teacher boxed."""
    rejected: Mapping[str, int] = field(default_factory=dict)

    def image(self) -> UInt8[np.ndarray, "height width 3"]:
        """Return the picture, BGR."""
        return _decode(self.jpeg, cv2.IMREAD_COLOR)


def is_labelled(folder: Path) -> bool:
    """Tell whether a folder holds shards of labels."""
    return bool(_shards(folder))


def groups_in(folder: Path) -> frozenset[str]:
    """Name the groups of the pictures labelled in a folder; none where there are no labels."""
    return _words(folder, "group")


class LabelFolder:
    """A folder of shards that grows; what is in it stays in it."""

    def __init__(self, folder: Path, *, teachers: Mapping[str, str]) -> None:
        """Open or create the folder; `teachers` maps the model files to their hashes."""
        self._folder = folder
        self._teachers = dict(teachers)
        self._waiting: list[LabelledImage] = []
        folder.mkdir(parents=True, exist_ok=True)
        index = folder / INDEX_FILE
        if index.exists():
            written = json.loads(index.read_text())["teachers"]
            if json.loads(index.read_text())["schema"] != SCHEMA:
                raise SourceError(
                    f"{folder} holds labels of an older form; choose another --out or delete it"
                )
            if written != self._teachers:
                raise SourceError(
                    f"{folder} holds labels of other teachers ({', '.join(sorted(written))}); "
                    "choose another --out or delete the folder"
                )

    def done(self) -> frozenset[str]:
        """Return the keys of the pictures that need no more work."""
        return _words(self._folder, "key")

    def add(self, image: LabelledImage) -> None:
        """Add a picture; every so many are written."""
        self._waiting.append(image)
        if len(self._waiting) == SHARD_PICTURES:
            self.flush()

    def flush(self) -> None:
        """Write what waits as a shard, and the index anew."""
        if self._waiting:
            number = len(_shards(self._folder))
            path = self._folder / f"labels-{number:05d}.npz"
            part = path.with_suffix(".part")
            with part.open("wb") as file:
                np.savez(file, allow_pickle=False, **_pack(self._waiting))
            part.replace(path)
            self._waiting.clear()
        part = self._folder / f"{INDEX_FILE}.part"
        part.write_text(json.dumps(self._index(), indent=2) + "\n")
        part.replace(self._folder / INDEX_FILE)

    def _index(self) -> dict[str, Any]:
        rejected: Counter[str] = Counter()
        pictures: Counter[str] = Counter()
        people: Counter[str] = Counter()
        licences: dict[str, str] = {}
        for shard in _shards(self._folder):
            with np.load(shard) as arrays:
                sources = arrays["source"]
                pictures.update(sources.tolist())
                people.update(sources[arrays["image"]].tolist())
                licences.update(zip(sources.tolist(), arrays["licence"].tolist(), strict=True))
                reasons = zip(arrays["rejected_reason"], arrays["rejected_count"], strict=True)
                for reason, count in reasons:
                    rejected[str(reason)] += int(count)
        return {
            "schema": SCHEMA,
            "teachers": self._teachers,
            "sources": {
                name: {
                    "licence": licences[name],
                    "pictures": pictures[name],
                    "people": people[name],
                }
                for name in sorted(pictures)
            },
            "rejected": dict(sorted(rejected.items())),
            "shards": len(_shards(self._folder)),
        }


def read_labels(folder: Path) -> Iterator[LabelledImage]:
    """Yield the labelled pictures of a folder, shard by shard, also while it still grows."""
    for shard in shards_of(folder):
        yield from read_shard(shard)


def shards_of(folder: Path) -> list[Path]:
    """Return the shards of a folder, in their order; a SourceError where there are none."""
    shards = _shards(folder)
    if not shards:
        raise SourceError(f"{folder} holds no labels-*.npz; make them with `python -m train label`")
    return shards


def read_shard(shard: Path) -> Iterator[LabelledImage]:
    """Yield the labelled pictures of a shard."""
    with np.load(shard) as arrays:
        if "reach_px" not in arrays:
            raise SourceError(
                f"{shard} holds labels of an older form; delete {shard.parent}, label again"
            )
        labels = dict(arrays)
    seen = _beside(shard)
    if seen.exists():
        with np.load(seen) as arrays:
            labels.update(overlooked_image=arrays["image"], overlooked_px=arrays["box_px"])
    yield from _unpack(labels)


def overlooked_by(shard: Path) -> str:
    """Return the hash of the network that looked for the overlooked of a shard, or nothing."""
    seen = _beside(shard)
    if not seen.exists():
        return ""
    with np.load(seen) as arrays:
        return str(arrays["network"])


def write_overlooked(
    shard: Path, boxes_px: Sequence[Float32[np.ndarray, "_ 4"]], *, network: str
) -> None:
    """Keep the overlooked of each picture of a shard beside it, whole or not at all."""
    part = _beside(shard).with_suffix(".part")
    with part.open("wb") as file:
        np.savez(
            file,
            allow_pickle=False,
            image=np.repeat(np.arange(len(boxes_px), dtype=np.int32), [len(b) for b in boxes_px]),
            box_px=np.concatenate([_no_boxes(), *boxes_px]),
            network=np.array(network, np.str_),
        )
    part.replace(_beside(shard))


def encode_picture(image: UInt8[np.ndarray, "height width 3"]) -> bytes:
    """Return the picture as JPEG, as it is kept."""
    return _encode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])


def encode_mask(mask: UInt8[np.ndarray, "height width"]) -> bytes:
    """Return a mask as PNG, as it is kept."""
    return _encode(".png", mask, [cv2.IMWRITE_PNG_COMPRESSION, 6])


def _shards(folder: Path) -> list[Path]:
    return sorted(folder.glob("labels-?????.npz"))


def _beside(shard: Path) -> Path:
    return shard.with_name(shard.name.replace("labels", "overlooked"))


def _words(folder: Path, name: str) -> frozenset[str]:
    """Read one array of words of all shards, and no picture."""
    found: set[str] = set()
    for shard in _shards(folder):
        with np.load(shard) as arrays:
            found.update(arrays[name].tolist())
    return frozenset(found)


def _pack(images: Sequence[LabelledImage]) -> dict[str, np.ndarray]:
    people = [(number, person) for number, image in enumerate(images) for person in image.people]
    given = [(number, box) for number, image in enumerate(images) for box in image.given]
    rejected = Counter[str]()
    for image in images:
        rejected.update(image.rejected)
    jpeg_bytes, jpeg_offsets = _join([image.jpeg for image in images])
    mask_bytes, mask_offsets = _join([person.mask_png for _, person in people])
    return {
        "jpeg_bytes": jpeg_bytes,
        "jpeg_offsets": jpeg_offsets,
        "key": np.array([image.key for image in images], np.str_),
        "source": np.array([image.source for image in images], np.str_),
        "licence": np.array([image.licence for image in images], np.str_),
        "group": np.array([image.group for image in images], np.str_),
        "size": np.array([(image.width_px, image.height_px) for image in images], np.int32),
        "image": np.array([number for number, _ in people], np.int32),
        "joints_px": _stack([person.joints_px for _, person in people], (25, 2)),
        "confidence": _stack([person.confidence for _, person in people], (25,)),
        "box_px": _stack([person.box_px for _, person in people], (4,)),
        "reach_px": _stack([person.reach_px for _, person in people], (2, 2)),
        "mask_png_bytes": mask_bytes,
        "mask_png_offsets": mask_offsets,
        "quality": np.array([person.quality for _, person in people], np.float32),
        "disagreement_px": np.array([person.disagreement_px for _, person in people], np.float32),
        "det_image": np.repeat(
            np.arange(len(images), dtype=np.int32), [len(image.detected_px) for image in images]
        ),
        "det_box_px": np.concatenate([image.detected_px for image in images]),
        "det_score": np.concatenate([image.detected_scores for image in images]),
        "given_image": np.array([number for number, _ in given], np.int32),
        "given_kind": np.array([box.kind for _, box in given], np.str_),
        "given_box_px": _stack([box.box_px for _, box in given], (4,)),
        "rejected_reason": np.array(list(rejected), np.str_),
        "rejected_count": np.array(list(rejected.values()), np.int32),
    }


def _unpack(arrays: Mapping[str, np.ndarray]) -> Iterator[LabelledImage]:
    jpegs = _split(arrays["jpeg_bytes"], arrays["jpeg_offsets"])
    masks = _split(arrays["mask_png_bytes"], arrays["mask_png_offsets"])
    overlooked = arrays.get("overlooked_image", np.zeros(0, np.int32))
    for number, jpeg in enumerate(jpegs):
        detected = arrays["det_image"] == number
        yield LabelledImage(
            jpeg=jpeg,
            key=str(arrays["key"][number]),
            source=str(arrays["source"][number]),
            licence=str(arrays["licence"][number]),
            group=str(arrays["group"][number]),
            width_px=int(arrays["size"][number, 0]),
            height_px=int(arrays["size"][number, 1]),
            people=tuple(
                LabelledPerson(
                    joints_px=arrays["joints_px"][index],
                    confidence=arrays["confidence"][index],
                    box_px=arrays["box_px"][index],
                    reach_px=arrays["reach_px"][index],
                    mask_png=masks[index],
                    quality=float(arrays["quality"][index]),
                    disagreement_px=float(arrays["disagreement_px"][index]),
                )
                for index in np.flatnonzero(arrays["image"] == number)
            ),
            detected_px=arrays["det_box_px"][detected],
            detected_scores=arrays["det_score"][detected],
            given=tuple(
                GivenBox(
                    kind=BOX_KINDS[BOX_KINDS.index(str(arrays["given_kind"][index]))],
                    box_px=arrays["given_box_px"][index],
                )
                for index in np.flatnonzero(arrays["given_image"] == number)
            ),
            overlooked_px=arrays.get("overlooked_px", _no_boxes())[overlooked == number],
        )


def _join(pieces: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray]:
    offsets = np.cumsum([0, *(len(piece) for piece in pieces)]).astype(np.int64)
    return np.frombuffer(b"".join(pieces), np.uint8), offsets


def _split(content: np.ndarray, offsets: np.ndarray) -> list[bytes]:
    return [content[start:end].tobytes() for start, end in pairwise(offsets.tolist())]


def _stack(rows: Sequence[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    return np.asarray(rows, np.float32).reshape(-1, *shape)


def _encode(ending: str, image: np.ndarray, options: Sequence[int]) -> bytes:
    success, content = cv2.imencode(ending, image, options)
    assert success, f"OpenCV cannot encode {ending}"
    return content.tobytes()


def _decode(content: bytes, flags: int) -> np.ndarray:
    image = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    if image is None:
        raise SourceError("a picture in the label cache is broken; delete the folder, label again")
    return np.asarray(image, np.uint8)
