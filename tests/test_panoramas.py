"""Pictures taken in panoramas show what stands there, where a pinhole camera shows it."""

import base64
import math
from pathlib import Path

import cv2
import numpy as np
import OpenEXR
import pytest

from train.__main__ import main
from train.panoramas import read_panorama, seen, taken_there

HIGH, WIDE = 256, 512


def panorama_with_a_lamp(*, right_deg: float, down_deg: float) -> np.ndarray:
    """Light one small disc in a dark sphere, right of and below what lies ahead."""
    latitude = np.radians((np.arange(HIGH) + 0.5) / HIGH * 180 - 90)[:, None]
    longitude = np.radians((np.arange(WIDE) + 0.5) / WIDE * 360 - 180)[None]
    lamp, up = math.radians(right_deg), math.radians(down_deg)
    cosine = np.sin(latitude) * math.sin(up) + np.cos(latitude) * math.cos(up) * np.cos(
        longitude - lamp
    )
    light = np.where(cosine > math.cos(math.radians(4)), 1.0, 0.0)
    return np.repeat(light[..., None], 3, axis=2).astype(np.float32)


@pytest.mark.parametrize(
    ("yaw_deg", "pitch_deg"), [(0, 0), (25, 0), (0, 20), (-150, -10), (40, 30)]
)
def test_a_lamp_is_seen_where_a_pinhole_camera_sees_it(yaw_deg: float, pitch_deg: float) -> None:
    right_deg, down_deg = yaw_deg + 15.0, 12.0
    picture = seen(
        panorama_with_a_lamp(right_deg=(right_deg + 180) % 360 - 180, down_deg=down_deg),
        yaw=math.radians(yaw_deg),
        pitch=math.radians(pitch_deg),
        field=math.radians(80),
        size_px=(640, 480),
    )
    rows, columns = np.nonzero(picture[..., 0] > 0.5)
    away, down = math.radians(15.0), math.radians(down_deg)
    world = np.array(
        [math.cos(down) * math.sin(away), math.sin(down), math.cos(down) * math.cos(away)]
    )
    lean = math.radians(pitch_deg)
    # Of a camera that leans down by `lean`, x to the right, y down, z ahead.
    camera_from_world = np.array(
        [
            [1, 0, 0],
            [0, math.cos(lean), -math.sin(lean)],
            [0, math.sin(lean), math.cos(lean)],
        ]
    )
    x, y, z = camera_from_world @ world
    focal_px = 320 / math.tan(math.radians(40))
    middle = (320 - 0.5 + focal_px * x / z, 240 - 0.5 + focal_px * y / z)
    assert (columns.mean(), rows.mean()) == pytest.approx(middle, abs=3)


def test_what_lies_ahead_is_sharp_over_the_seam_of_the_panorama() -> None:
    """Behind the camera's back the left rim of a panorama meets the right one."""
    light = np.full((HIGH, WIDE, 3), 0.25, np.float32)
    picture = seen(light, yaw=math.pi, pitch=0.0, field=1.2, size_px=(64, 48))
    assert picture == pytest.approx(0.25, abs=1e-6)


def test_a_lamp_saturates_and_pictures_of_one_seed_are_the_same() -> None:
    light = 0.2 + 1e4 * panorama_with_a_lamp(right_deg=0, down_deg=0)
    dice = [np.random.default_rng(3), np.random.default_rng(3), np.random.default_rng(4)]
    first, again, other = (taken_there(light.astype(np.float32), rng) for rng in dice)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert all(
        20 < np.median(taken_there(light.astype(np.float32), np.random.default_rng(seed))) < 230
        for seed in range(8)
    )


def written(folder: Path) -> np.ndarray:
    """Write one panorama in each of the three forms; return what was written, BGR."""
    light = np.random.default_rng(0).uniform(0, 4, (16, 32, 3)).astype(np.float32)
    assert cv2.imwrite(str(folder / "radiance.hdr"), light)
    channels = {"RGB": np.ascontiguousarray(light[:, :, ::-1])}
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    OpenEXR.File(header, channels).write(str(folder / "open.exr"))
    text = base64.b64encode((folder / "open.exr").read_bytes()).decode()
    (folder / "packed.exr.js").write_text(f"export default 'data:application/exr;base64,{text}'")
    return light


def test_all_three_forms_are_read_alike(tmp_path: Path) -> None:
    light = written(tmp_path)
    for name in ("open.exr", "packed.exr.js"):
        assert read_panorama(tmp_path / name) == pytest.approx(light, abs=1e-6)
    assert read_panorama(tmp_path / "radiance.hdr") == pytest.approx(light, rel=0.02, abs=0.02)


def test_the_command_takes_so_many_pictures_of_each_also_where_two_are_called_alike(
    tmp_path: Path,
) -> None:
    (tmp_path / "in").mkdir()
    written(tmp_path / "in")
    (tmp_path / "in" / "radiance.hdr").rename(tmp_path / "in" / "open.hdr")
    command = ["panoramas", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--each", "2"]
    assert main(command) == 0
    pictures = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert pictures == [
        "000-open-000.jpg",
        "000-open-001.jpg",
        "001-open-000.jpg",
        "001-open-001.jpg",
        "002-packed-000.jpg",
        "002-packed-001.jpg",
    ]
    picture = cv2.imread(str(tmp_path / "out" / pictures[0]))
    assert picture is not None
    assert picture.shape == (480, 640, 3)


@pytest.mark.parametrize(
    ("name", "content"),
    [("torn.exr", b"v/1\x01"), ("torn.hdr", b"#?RADIANCE"), ("torn.exr.js", b"export default 1")],
)
def test_what_is_no_panorama_is_an_error_that_names_it(
    name: str, content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_bytes(content)
    assert main(["panoramas", str(tmp_path), "--out", str(tmp_path / "out")]) != 0
    error = capsys.readouterr().err
    assert str(tmp_path / name) in error
    assert "leave it out" in error


def test_a_photograph_is_no_panorama(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cv2.imwrite(str(tmp_path / "wide.hdr"), np.ones((16, 24, 3), np.float32))
    assert main(["panoramas", str(tmp_path), "--out", str(tmp_path / "out")]) != 0
    assert "twice as wide as high" in capsys.readouterr().err


def test_a_folder_without_panoramas_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["panoramas", str(tmp_path), "--out", str(tmp_path / "out")]) != 0
    assert "holds no panoramas" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
