"""Triangulation against points that were projected by an independent pinhole model."""

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest
from jaxtyping import Float64

from edge_pose.errors import SourceError
from edge_pose.skeleton import INDEX, NUM_JOINTS
from train import desk
from train.triangulate import Camera, in_camera, project, ray_of, triangulate

POINT_M = np.array([0.12, -0.2, 0.1])
GATE_M = 0.04
EYES_M = ((1.5, 0.0, -0.2), (0.0, 1.6, 0.1), (-1.4, 0.3, -0.4), (0.2, -1.5, 0.3))


def camera_at(eye_m: tuple[float, float, float], *, turn: float = 0.0) -> Camera:
    """Stand a camera somewhere, looking at the world's origin with world z up."""
    eye = np.array(eye_m)
    forward = -eye / np.linalg.norm(eye)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    rotation = np.stack([right, np.cross(forward, right), forward])
    roll = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    rotation = roll @ rotation
    return Camera(
        matrix=np.array([[700.0, 0, 640], [0, 710, 350], [0, 0, 1]]),
        distortion=np.array([0.19, -0.28, -0.002, 0.003, 0.15]),
        camera_from_world=np.hstack([rotation, -(rotation @ eye)[:, None]]),
    )


def pixel_by_hand(camera: Camera, point_m: Float64[np.ndarray, "3"]) -> Float64[np.ndarray, "2"]:
    """Project with the radial-tangential formulas written out."""
    x, y, z = camera.camera_from_world @ np.append(point_m, 1)
    x, y = x / z, y / z
    k1, k2, p1, p2, k3 = camera.distortion
    r2 = x * x + y * y
    radial = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3
    seen = [
        x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x),
        y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y,
        1,
    ]
    return np.asarray((camera.matrix @ seen)[:2])


CAMERAS = [camera_at(eye) for eye in EYES_M]


def sightings() -> Float64[np.ndarray, "views 2"]:
    return np.stack([pixel_by_hand(camera, POINT_M) for camera in CAMERAS])


def test_projection_follows_the_distortion_formulas() -> None:
    for camera in CAMERAS:
        np.testing.assert_allclose(
            project(camera, POINT_M[None])[0], pixel_by_hand(camera, POINT_M), atol=1e-6
        )


def test_a_ray_undoes_lens_and_distortion() -> None:
    camera = CAMERAS[1]
    x, y, z = in_camera(camera, POINT_M[None])[0]
    np.testing.assert_allclose(
        ray_of(camera, pixel_by_hand(camera, POINT_M)), [x / z, y / z], atol=1e-7
    )


def test_exact_sightings_give_the_exact_point() -> None:
    found = triangulate(CAMERAS, sightings(), gate_m=GATE_M)
    assert found is not None
    np.testing.assert_allclose(found.point_m, POINT_M, atol=1e-6)
    assert found.agreeing.all()
    np.testing.assert_allclose(found.reprojection_px, 0, atol=1e-4)


@pytest.mark.parametrize("wrong", range(4))
def test_one_camera_that_sees_another_thing_is_outvoted(wrong: int) -> None:
    pixels = sightings()
    pixels[wrong] += [150.0, -90.0]
    found = triangulate(CAMERAS, pixels, gate_m=GATE_M)
    assert found is not None
    np.testing.assert_allclose(found.point_m, POINT_M, atol=1e-6)
    assert list(np.flatnonzero(~found.agreeing)) == [wrong]
    assert found.reprojection_px[wrong] == pytest.approx(np.hypot(150, 90), abs=1e-3)


def test_a_camera_that_sees_nothing_has_no_say() -> None:
    pixels = sightings()
    pixels[2] = np.nan
    found = triangulate(CAMERAS, pixels, gate_m=GATE_M)
    assert found is not None
    np.testing.assert_allclose(found.point_m, POINT_M, atol=1e-6)
    assert np.isnan(found.reprojection_px[2])
    assert not found.agreeing[2]


def test_two_sightings_are_not_enough_to_agree() -> None:
    pixels = sightings()
    pixels[[0, 3]] = np.nan
    assert triangulate(CAMERAS, pixels, gate_m=GATE_M) is None


def test_cameras_that_all_disagree_give_nothing() -> None:
    away = np.array([[200, 0], [0, 200], [-200, 90], [80, -200]], np.float64)
    assert triangulate(CAMERAS, sightings() + away, gate_m=GATE_M) is None


def test_a_point_behind_the_cameras_is_no_answer() -> None:
    facing_away = [camera_at(eye) for eye in ((3.0, 0.1, 0), (3.0, -0.1, 0), (3.0, 0, 0.1))]
    behind = np.array([6.0, 0.0, 0.0])
    pixels = np.stack(
        [
            (camera.matrix @ (ray / ray[2]))[:2]
            for camera in facing_away
            for ray in [in_camera(camera, behind[None])[0]]
        ]
    )
    assert triangulate(facing_away, pixels, gate_m=GATE_M) is None


def test_the_stated_deviation_is_the_scatter_that_one_pixel_of_noise_makes() -> None:
    random = np.random.default_rng(3)
    exact = sightings()
    found = [
        triangulate(CAMERAS, exact + random.normal(0, 1, exact.shape), gate_m=GATE_M)
        for _ in range(150)
    ]
    points = np.stack([each.point_m for each in found if each is not None])
    scatter_m = np.sqrt(((points - POINT_M) ** 2).sum(axis=1).mean())
    assert found[0] is not None
    assert len(points) == len(found)
    assert scatter_m == pytest.approx(found[0].deviation_m, rel=0.15)


def test_noise_is_shared_out_in_pixels_however_far_the_cameras_stand() -> None:
    """No step from the point that is found lowers the squared pixels, near cameras and far."""
    cameras = [camera_at(eye) for eye in ((0.5, 0.1, 0.1), (0.2, 4.0, 0.3), (-3.0, -2.0, 1.0))]
    noise = np.array([[4.0, -3.0], [-2.0, 5.0], [3.0, 3.0]])
    pixels = np.stack([pixel_by_hand(camera, POINT_M) for camera in cameras]) + noise
    found = triangulate(cameras, pixels, gate_m=1.0)
    assert found is not None

    def misfit(point_m: Float64[np.ndarray, "3"]) -> float:
        seen = np.stack([pixel_by_hand(camera, point_m) for camera in cameras])
        return float(((seen - pixels) ** 2).sum())

    best = misfit(found.point_m)
    steps = np.concatenate([np.eye(3), -np.eye(3)]) * 0.001
    assert min(misfit(found.point_m + step) for step in steps) > best


def write_session(folder: Path, turns: tuple[int, ...], *, as_vector: bool = False) -> None:
    """Write a session as its recorder does, with a short clip a camera."""
    folder.mkdir(parents=True)
    text = ""
    for number, (camera, turn) in enumerate(zip(CAMERAS, turns, strict=True)):
        rotation = camera.camera_from_world[:, :3]
        stated = cv2.Rodrigues(rotation)[0].ravel() if as_vector else rotation
        text += (
            f"[cameras.{number}]\ncam_id = {number}\nrotation_count = {turn}\nsize = [64, 48]\n"
            f"matrix = {camera.matrix.tolist()}\ndistortions = {camera.distortion.tolist()}\n"
            f"translation = {camera.camera_from_world[:, 3].tolist()}\n"
            f"rotation = {np.asarray(stated).tolist()}\n"
        )
        writer = cv2.VideoWriter(str(folder / f"cam_{number}.mp4"), desk.LOSSLESS, 6, (64, 48))
        if not writer.isOpened():
            writer = cv2.VideoWriter(
                str(folder / f"cam_{number}.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 6, (64, 48)
            )
        image = np.zeros((48, 64, 3), np.uint8)
        image[:12, :16] = 255
        for _ in range(2):
            writer.write(image)
        writer.release()
    (folder / "camera_array.toml").write_text(text)
    timing = folder / "calibration" / "extrinsic" / "frame_timestamps.csv"
    timing.parent.mkdir(parents=True)
    with timing.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["sync_index", "port", "frame_time"])
        rows.writerows([frame, port, frame / 6 + port / 100] for frame in (7, 8) for port in (3, 0))


@pytest.mark.parametrize("as_vector", [False, True])
def test_a_session_is_read_with_rotations_as_matrix_or_as_vector(
    tmp_path: Path, *, as_vector: bool
) -> None:
    write_session(tmp_path / "desk", (0, -1, 1, 2), as_vector=as_vector)
    (session,) = desk.read_sessions(tmp_path)
    assert session.frames == 2
    assert session.spread_s == pytest.approx(0.03)
    assert [view.turns for view in session.views] == [0, 3, 1, 2]
    for view, camera in zip(session.views, CAMERAS, strict=True):
        np.testing.assert_allclose(
            view.camera.camera_from_world, camera.camera_from_world, atol=1e-9
        )


def test_a_folder_without_a_session_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"camera_array\.toml"):
        desk.read_sessions(tmp_path)


def test_a_turned_clip_is_upright_like_its_pixels(tmp_path: Path) -> None:
    """The white corner of the stored picture lands where the homography says."""
    write_session(tmp_path / "desk", (0, -1, 1, 2))
    (session,) = desk.read_sessions(tmp_path)
    for view in session.views:
        clip = desk.upright_clip(view, tmp_path / "cache")
        capture = cv2.VideoCapture(str(clip))
        found, image = capture.read()
        capture.release()
        assert found
        assert image.shape[1::-1] == desk.turned_size(view)
        corner = desk.turned(desk.upright_from_stored(view), np.array([[4.0, 4.0], [50.0, 40.0]]))
        (x, y), (dark_x, dark_y) = corner.round().astype(int)
        assert image[y, x].min() > 200
        assert image[dark_y, dark_x].max() < 60


def test_every_pixel_of_a_turned_picture_is_where_the_homography_says(tmp_path: Path) -> None:
    write_session(tmp_path / "desk", (0, -1, 1, 2))
    (session,) = desk.read_sessions(tmp_path)
    stored = np.arange(48 * 64, dtype=np.float32).reshape(48, 64)
    y, x = np.mgrid[:48, :64]
    for view in session.views[1:]:
        pixels = np.stack([x, y], axis=-1).astype(np.float64)
        there = desk.turned(desk.upright_from_stored(view), pixels).astype(int)
        turned = cv2.rotate(stored, desk.TURNS[view.turns])
        np.testing.assert_array_equal(turned[there[..., 1], there[..., 0]], stored)


def test_an_upright_view_is_a_pinhole_of_its_own(tmp_path: Path) -> None:
    """Turning pixels and turning the camera are the same thing, distortion aside."""
    write_session(tmp_path / "desk", (0, -1, 1, 2))
    (session,) = desk.read_sessions(tmp_path)
    joints_m = np.full((1, NUM_JOINTS, 3), np.nan)
    joints_m[0, INDEX["nose"]] = POINT_M
    for view in session.views:
        in_view_m, _ = desk.seen_by(view, joints_m)
        x, y, z = in_camera(view.camera, POINT_M[None])[0]
        stored = (view.camera.matrix @ [x / z, y / z, 1])[None, :2]
        turned = desk.upright_matrix(view) @ (in_view_m[0, 0] / in_view_m[0, 0, 2])
        np.testing.assert_allclose(
            turned[:2], desk.turned(desk.upright_from_stored(view), stored)[0], atol=1e-9
        )


def test_what_upright_pictures_show_is_triangulated_back(tmp_path: Path) -> None:
    write_session(tmp_path / "desk", (0, -1, 1, 2))
    (small,) = desk.read_sessions(tmp_path)
    session = desk.Session(
        name="desk",
        views=tuple(
            desk.View(
                name=view.name,
                camera=view.camera,
                clip=view.clip,
                width_px=1280,
                height_px=720,
                turns=view.turns,
            )
            for view in small.views
        ),
        frames=2,
        spread_s=0.0,
    )
    joints_m = np.full((2, NUM_JOINTS, 3), np.nan)
    joints_m[:, list(desk.UPPER_BODY)] = np.random.default_rng(0).normal(0, 0.1, (2, 7, 3))
    seen_px = np.stack([desk.seen_by(view, joints_m)[1] for view in session.views])
    scores = np.ones((4, 2, NUM_JOINTS))
    scores[0, 1, INDEX["nose"]] = 0.1
    scores[1, 1, INDEX["nose"]] = 0.1
    reference = desk.refer(session, seen_px, scores)
    expected = joints_m.copy()
    expected[1, INDEX["nose"]] = np.nan
    np.testing.assert_allclose(reference.joints_m, expected, atol=1e-6)
    desk.save_reference(tmp_path / "kept" / "reference.npz", reference)
    kept = desk.load_reference(tmp_path / "kept" / "reference.npz")
    np.testing.assert_array_equal(kept.joints_m, reference.joints_m)
    np.testing.assert_array_equal(kept.agreeing, reference.agreeing)
