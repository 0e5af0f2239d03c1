"""`python -m train panoramas`: pictures of places without anybody, cut out of panoramas.

In: a folder of equirectangular panoramas with the full range of light (`.hdr`, `.exr`, or `.exr.js`
as the npm package `@pmndrs/assets` holds them).  Out: a folder of JPEGs as a camera would take them
there, for `python -m train label pictures … --nobody`.

Panoramas that light renderings show halls, workshops and woods with nobody in them, and lamps and
the sun as bright as they are.  Whoever chooses them looks whether somebody stands there after all.
"""

import argparse
import base64
import math
import sys
import tempfile
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import OpenEXR
from jaxtyping import Float32, UInt8
from tqdm import tqdm

from edge_pose.errors import SourceError
from train.presets import positive

ENDINGS: Final = (".hdr", ".exr", ".exr.js")
_SIZE_PX: Final = (640, 480)
_PITCH_DEG: Final = (-10.0, 25.0)
_FIELD_DEG: Final = (45.0, 95.0)
_EXPOSURE: Final = (0.12, 0.5)
"""What half of the picture is darker than, before film or sensor saturates at one."""
_SPILLED: Final = 0.03
"""Of what is brighter than all else, that a lens spreads about it."""
_BRIGHTEST: Final = 50.0
_GAMMA: Final = 2.2
_JPEG: Final = [cv2.IMWRITE_JPEG_QUALITY, 92]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("folder", type=Path, help=f"with panoramas ({', '.join(ENDINGS)})")
    parser.add_argument("--out", type=Path, required=True, help="folder for the pictures")
    parser.add_argument("--each", type=positive, default=48, help="pictures of each panorama")
    parser.add_argument("--seed", type=int, default=0)


def main(arguments: argparse.Namespace) -> None:
    """Cut and write."""
    paths = sorted(path for path in arguments.folder.rglob("*") if path.name.endswith(ENDINGS))
    if not paths:
        raise SourceError(
            f"{arguments.folder} holds no panoramas ({', '.join(ENDINGS)}); name another folder"
        )
    arguments.out.mkdir(parents=True, exist_ok=True)
    for number, path in enumerate(tqdm(paths, unit="panorama")):
        panorama = read_panorama(path)
        for view in range(arguments.each):
            rng = np.random.default_rng([arguments.seed, number, view])
            name = f"{number:03d}-{path.name.split('.')[0]}-{view:03d}.jpg"
            cv2.imwrite(str(arguments.out / name), taken_there(panorama, rng), _JPEG)
    sys.stdout.write(f"{len(paths) * arguments.each} pictures in {arguments.out}\n")


def read_panorama(path: Path) -> Float32[np.ndarray, "height width 3"]:
    """Read light, blue, green and red, linear, in units of its own.

    Raises:
        SourceError: it cannot be read, or is not twice as wide as high.

    """
    try:
        if path.suffix == ".hdr":
            light = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        else:
            light = _read_exr(path)
    except (RuntimeError, ValueError, KeyError, IndexError) as error:
        raise SourceError(f"{path} cannot be read as a panorama ({error}); leave it out") from error
    if light is None or light.ndim != 3 or light.shape[1] != 2 * light.shape[0]:
        found = "nothing readable" if light is None else f"an array of {light.shape}"
        raise SourceError(
            f"{path} is no equirectangular panorama: it holds {found}, and what is wanted is twice "
            "as wide as high, in colour; leave it out"
        )
    return np.nan_to_num(np.asarray(light, np.float32)).clip(0, None)


def _read_exr(path: Path) -> np.ndarray:
    if path.suffix == ".js":
        with tempfile.NamedTemporaryFile(suffix=".exr") as file:
            file.write(base64.b64decode(path.read_text("utf-8").split("base64,")[1].split("'")[0]))
            file.flush()
            return _read_exr(Path(file.name))
    pixels = OpenEXR.File(str(path)).channels()["RGB"].pixels
    return np.asarray(pixels[:, :, ::-1])


def taken_there(
    panorama: Float32[np.ndarray, "height width 3"], rng: np.random.Generator
) -> UInt8[np.ndarray, "rows columns 3"]:
    """Take a picture with a camera that hangs there somehow, BGR."""
    light = seen(
        panorama,
        yaw=rng.uniform(0, 2 * math.pi),
        pitch=math.radians(rng.uniform(*_PITCH_DEG)),
        field=math.radians(rng.uniform(*_FIELD_DEG)),
        size_px=_SIZE_PX,
    )
    spilled = cv2.GaussianBlur(np.minimum(light, _BRIGHTEST), (0, 0), _SIZE_PX[0] / 30)
    light = light + _SPILLED * spilled
    exposure = rng.uniform(*_EXPOSURE) / max(float(np.median(light)), 1e-3)
    film = 1 - np.exp(-np.minimum(exposure * light, _BRIGHTEST))
    return (255 * film ** (1 / _GAMMA)).astype(np.uint8)


def seen(
    panorama: Float32[np.ndarray, "height width 3"],
    *,
    yaw: float,
    pitch: float,
    field: float,
    size_px: tuple[int, int],
) -> Float32[np.ndarray, "rows columns 3"]:
    """Look into a panorama through a lens without distortion.

    Args:
        panorama: its middle column lies ahead, its upper row overhead.
        yaw: to the right of ahead, radians.
        pitch: below the horizon, radians.
        field: of view across the picture, radians.
        size_px: of the picture, width and height.

    """
    width, height = size_px
    focal_px = width / 2 / math.tan(field / 2)
    column, row = np.meshgrid(np.arange(width), np.arange(height))
    right = (column - (width - 1) / 2) / focal_px
    down = (row - (height - 1) / 2) / focal_px
    down, ahead = (
        down * math.cos(pitch) + math.sin(pitch),
        math.cos(pitch) - down * math.sin(pitch),
    )
    longitude = np.arctan2(right, ahead) + yaw
    latitude = np.arctan2(down, np.hypot(right, ahead))
    high, wide = panorama.shape[:2]
    x = ((longitude / (2 * math.pi) + 0.5) * wide - 0.5) % wide
    y = (latitude / math.pi + 0.5) * high - 0.5
    light = cv2.remap(
        panorama,
        x.astype(np.float32),
        y.astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_WRAP,
    )
    return np.asarray(light, np.float32)
