"""Pixels and rays: orientation, inverses, and values worked out by hand or by OpenCV."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_pose import camera
from edge_pose.errors import ConfigError
from edge_pose.types import Intrinsics

CALIBRATION = {"fx": 600.0, "fy": 610.0, "cx": 330.0, "cy": 235.0, "width": 640, "height": 480}


def bent() -> Intrinsics:
    return Intrinsics(
        matrix=np.array([[600.0, 0.0, 330.0], [0.0, 610.0, 235.0], [0.0, 0.0, 1.0]]),
        width_px=640,
        height_px=480,
        assumed=False,
        distortion=np.array([-0.2, 0.05, 0.001, -0.002, 0.01]),
    )


def test_a_point_right_of_and_below_the_axis_has_positive_x_and_y() -> None:
    intrinsics = camera.from_focal(fx_px=500.0, width_px=641, height_px=481)
    (point,) = camera.backproject(np.array([[570.0, 365.0]]), np.array([2.0]), intrinsics)
    np.testing.assert_allclose(point, [1.0, 0.5, 2.0], atol=1e-12)


@pytest.mark.parametrize("intrinsics", [camera.assume(640, 480), bent()])
def test_backprojection_undoes_projection(intrinsics: Intrinsics) -> None:
    points = np.array([[0.3, -0.4, 2.0], [-0.8, 0.5, 3.5], [0.0, 0.0, 1.0]])
    pixels = camera.project(points, intrinsics)
    np.testing.assert_allclose(
        camera.backproject(pixels, points[:, 2], intrinsics), points, atol=2e-4
    )


def test_distorted_projection_is_opencvs() -> None:
    points = np.array([[0.3, -0.4, 2.0], [-0.8, 0.5, 3.5]])
    lens = bent()
    expected, _ = cv2.projectPoints(points, np.zeros(3), np.zeros(3), lens.matrix, lens.distortion)
    np.testing.assert_allclose(camera.project(points, lens), expected[:, 0], atol=1e-9)


def test_sixty_degrees_across_are_assumed_and_said_to_be() -> None:
    intrinsics = camera.assume(640, 480)
    # 320 / tan(30 degrees)
    assert intrinsics.matrix[0, 0] == pytest.approx(554.2563)
    assert intrinsics.matrix[0, 2] == 319.5
    assert intrinsics.assumed
    assert camera.assume(480, 640).matrix[0, 0] == pytest.approx(554.2563)


def test_an_angle_of_view_is_believed() -> None:
    intrinsics = camera.lens(hfov_deg=90.0)(1000, 500)
    assert intrinsics.matrix[0, 0] == pytest.approx(500.0)
    assert intrinsics.matrix[1, 1] == pytest.approx(500.0)
    assert not intrinsics.assumed


def test_a_focal_length_is_in_pixels_of_the_first_size_and_scales_with_the_picture() -> None:
    of_size = camera.lens(fx_px=800.0)
    assert of_size(1280, 720).matrix[0, 0] == 800.0
    assert of_size(640, 360).matrix[0, 0] == 400.0
    assert of_size(1280, 720).matrix[0, 0] == 800.0


def test_a_calibration_at_half_size_sees_the_same_rays() -> None:
    full = camera.from_focal(fx_px=800.0, width_px=1280, height_px=720)
    half = camera.scale_to(full, 640, 360)
    # The middle of a 2 by 2 block of the large picture is one pixel of the small one.
    np.testing.assert_allclose(
        camera.rays(np.array([[100.0, 50.0]]), half),
        camera.rays(np.array([[200.5, 100.5]]), full),
        atol=1e-12,
    )
    assert not half.assumed


def test_another_aspect_ratio_is_taken_as_a_centred_cut_and_counts_as_assumed() -> None:
    wide = camera.from_focal(fx_px=900.0, width_px=1280, height_px=720)
    cut = camera.scale_to(wide, 640, 480)
    assert cut.assumed
    assert cut.matrix[0, 0] == pytest.approx(600.0)
    np.testing.assert_allclose(cut.matrix[:2, 2], [319.5, 239.5])


def test_the_rotation_to_a_ray_is_the_smallest_one() -> None:
    intrinsics = camera.assume(640, 480)
    pixel = np.array([600.0, 50.0])
    ray = np.linalg.inv(intrinsics.matrix) @ (600.0, 50.0, 1.0)
    ray /= np.linalg.norm(ray)
    rotation = camera.camera_from_ray(pixel, intrinsics)
    np.testing.assert_allclose(rotation @ (0.0, 0.0, 1.0), ray, atol=1e-12)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(rotation) == pytest.approx(1.0)
    # The axis is upright to both, so the rotation has no roll about the ray.
    axis = np.cross((0.0, 0.0, 1.0), ray)
    np.testing.assert_allclose(rotation @ axis, axis, atol=1e-12)


@pytest.mark.parametrize("suffix", [".json", ".toml"])
def test_a_calibration_file_is_read(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"camera{suffix}"
    text = "\n".join(f"{key} = {value}" for key, value in CALIBRATION.items())
    path.write_text(json.dumps(CALIBRATION) if suffix == ".json" else text, encoding="utf-8")
    intrinsics = camera.lens(calibration=path)(640, 480)
    np.testing.assert_allclose(intrinsics.matrix, bent().matrix)
    assert intrinsics.distortion is None
    assert not intrinsics.assumed


def test_a_distortion_is_read(tmp_path: Path) -> None:
    path = tmp_path / "camera.json"
    numbers = [-0.2, 0.05, 0.001, -0.002, 0.01]
    path.write_text(json.dumps({**CALIBRATION, "distortion": numbers}), encoding="utf-8")
    distortion = camera.read_calibration(path).distortion
    assert distortion is not None
    np.testing.assert_allclose(distortion, numbers)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"fx": None}, "fx is None"),
        ({"fx": -1}, "must be above 0"),
        ({"f": 3}, "unknown f"),
        ({"distortion": [1, 2]}, "wanted five numbers"),
    ],
)
def test_a_bad_calibration_is_refused_in_one_sentence(
    tmp_path: Path, change: dict[str, object], said: str
) -> None:
    path = tmp_path / "camera.json"
    path.write_text(json.dumps({**CALIBRATION, **change}), encoding="utf-8")
    with pytest.raises(ConfigError, match=said):
        camera.read_calibration(path)


def test_missing_and_broken_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere.toml cannot be read"):
        camera.read_calibration(tmp_path / "nowhere.toml")
    (tmp_path / "broken.json").write_text("{", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"broken.json is not \.json"):
        camera.read_calibration(tmp_path / "broken.json")


def test_only_one_way_to_know_the_camera_is_allowed() -> None:
    with pytest.raises(ConfigError, match=r"2 times \(fx, hfov\)"):
        camera.lens(fx_px=500.0, hfov_deg=60.0)
    with pytest.raises(ConfigError, match="above 0"):
        camera.lens(fx_px=0.0)
    with pytest.raises(ConfigError, match="between 1 and 170"):
        camera.lens(hfov_deg=200.0)
