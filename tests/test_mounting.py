"""How a camera hangs is told from people, against projections worked out by hand."""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from jaxtyping import Float64

from edge_pose.errors import EXIT_OPERATOR, SourceError
from edge_pose.region import Region
from edge_pose.skeleton import INDEX, NUM_JOINTS
from edge_pose.types import RelativePose
from train.__main__ import main
from train.mounting import command
from train.mounting.estimate import NAMES, Estimate, estimate_mounting
from train.mounting.fit import fit_mount
from train.mounting.geometry import PROPORTIONS, Mount, Standing
from train.mounting.sightings import Sightings, look_at_camera
from train.mounting.standing import find_standing
from train.synth.site import Mounting

ROOT = Path(__file__).resolve().parents[1]
WIDTH_PX, HEIGHT_PX = 1280, 720
Points = Float64[np.ndarray, "n 3"]


def mount(height_m: float, pitch: float, roll: float, view: float) -> Mount:
    return Mount(
        height_m=height_m,
        pitch_rad=float(np.radians(pitch)),
        roll_rad=float(np.radians(roll)),
        field_of_view_rad=float(np.radians(view)),
    )


STEEP = mount(4.8, 47.0, 5.0, 95.0)
FLAT = mount(3.0, 25.0, -4.0, 75.0)


def pixels(camera: Mount, points_m: Points) -> tuple[np.ndarray, np.ndarray]:
    """Project by hand: level and to the right, down, ahead; then the roll; then the lens."""
    x, y, z = points_m[:, 0], points_m[:, 1], points_m[:, 2] - camera.height_m
    ahead = y * np.cos(camera.pitch_rad) - z * np.sin(camera.pitch_rad)
    down = -y * np.sin(camera.pitch_rad) - z * np.cos(camera.pitch_rad)
    cos, sin = np.cos(camera.roll_rad), np.sin(camera.roll_rad)
    focal_px = WIDTH_PX / 2 / np.tan(camera.field_of_view_rad / 2)
    u = focal_px * (cos * x - sin * down) / ahead + (WIDTH_PX - 1) / 2
    v = focal_px * (sin * x + cos * down) / ahead + (HEIGHT_PX - 1) / 2
    return np.stack([u, v], axis=1), ahead


def crowd(
    camera: Mount,
    count: int,
    *,
    noise: float = 0.0,
    differ: float = 1.0,
    distances_m: tuple[float, float] = (1.8, 14.0),
    seed: int = 0,
) -> Standing:
    """Let people of 1.70 m stand wherever the camera sees all of them."""
    rng = np.random.default_rng(seed)
    shares = np.array(PROPORTIONS)
    landmarks_px: list[np.ndarray] = []
    sides_px: list[float] = []
    while len(landmarks_px) < count:
        distance_m = np.exp(rng.uniform(*np.log(distances_m)))
        bearing = rng.uniform(-0.8, 0.8)
        head_m = 0.996 * (1.70 + 0.09 * differ * rng.standard_normal())
        lean_m = 0.05 * differ * head_m * rng.standard_normal(2)
        feet_m = distance_m * np.array([np.sin(bearing), np.cos(bearing)])
        points_m = np.column_stack([feet_m + shares[:, None] * lean_m, shares * head_m])
        seen_px, depth_m = pixels(camera, points_m)
        inside = (seen_px > 0).all() and (seen_px < [WIDTH_PX - 1, HEIGHT_PX - 1]).all()
        if depth_m.min() < 0.5 or not inside:
            continue
        focal_px = WIDTH_PX / 2 / np.tan(camera.field_of_view_rad / 2)
        sides_px.append(float(1.7 * focal_px / depth_m.mean()))
        landmarks_px.append(seen_px + noise * sides_px[-1] * rng.standard_normal(seen_px.shape))
    return Standing(
        landmarks_px=np.array(landmarks_px),
        sd_px=np.repeat(0.025 * np.array(sides_px)[:, None], len(shares), axis=1),
        frame=np.arange(count) // 2.0,
        width_px=WIDTH_PX,
        height_px=HEIGHT_PX,
    )


def upright_m() -> Float64[np.ndarray, "joints 3"]:
    """Return somebody who stands, y down, pelvis in the origin."""
    joints_m = np.zeros((NUM_JOINTS, 3))
    for side, x in (("left", 0.1), ("right", -0.1)):
        for name, y in (("shoulder", -0.5), ("hip", 0.0), ("knee", 0.4), ("ankle", 0.8)):
            joints_m[INDEX[f"{side}_{name}"]] = [x, y, 0]
    joints_m[INDEX["head_top"]] = [0, -0.85, 0]
    return joints_m


def sightings(people: Standing, *, shape_m: np.ndarray | None = None) -> Sightings:
    """Say that the networks saw these landmarks, left and right in one place."""
    joints_px = np.full((len(people), NUM_JOINTS, 2), 100.0)
    for index, name in enumerate(("ankle", "knee", "hip", "shoulder")):
        for side in ("left", "right"):
            joints_px[:, INDEX[f"{side}_{name}"]] = people.landmarks_px[:, index]
    joints_px[:, INDEX["head_top"]] = people.landmarks_px[:, -1]
    body_m = upright_m() if shape_m is None else shape_m
    return Sightings(
        joints_px=joints_px,
        joints_m=np.broadcast_to(body_m, (len(people), NUM_JOINTS, 3)),
        scores=np.full((len(people), NUM_JOINTS), 0.9),
        side_px=people.sd_px[:, 0] * 40,
        frame=people.frame,
        pictures=len(people) // 2 + 1,
        width_px=WIDTH_PX,
        height_px=HEIGHT_PX,
    )


def together(one: Standing, other: Standing) -> Standing:
    return replace(
        one,
        landmarks_px=np.concatenate([one.landmarks_px, other.landmarks_px]),
        sd_px=np.concatenate([one.sd_px, other.sd_px]),
        frame=np.concatenate([one.frame, other.frame + one.frame.max() + 1]),
    )


def off(found: Mount, true: Mount) -> list[float]:
    """Return how far off: height in %, three angles in degrees."""
    angles = (
        found.pitch_rad - true.pitch_rad,
        found.roll_rad - true.roll_rad,
        found.field_of_view_rad - true.field_of_view_rad,
    )
    height = 100 * (found.height_m / true.height_m - 1)
    return [abs(height), *np.abs(np.degrees(angles)).tolist()]


@pytest.mark.parametrize("camera", [STEEP, FLAT])
def test_the_camera_is_the_one_worked_out_by_hand(camera: Mount) -> None:
    points_m = np.random.default_rng(0).uniform([-2, 4, 0], [2, 9, 2], (20, 3))
    ours = camera.camera(WIDTH_PX, HEIGHT_PX)
    homogeneous = (
        points_m @ ours.camera_from_world[:3, :3].T + ours.camera_from_world[:3, 3]
    ) @ ours.matrix.T
    expected_px, _ = pixels(camera, points_m)
    np.testing.assert_allclose(homogeneous[:, :2] / homogeneous[:, 2:], expected_px, atol=1e-6)


@pytest.mark.parametrize("camera", [STEEP, FLAT])
def test_people_who_are_all_alike_and_exact_give_the_camera_exactly(camera: Mount) -> None:
    found = fit_mount(crowd(camera, 80, differ=0.0)).mount
    # The height hangs on what is believed of statures alone, so it is the last to settle.
    np.testing.assert_array_less(off(found, camera), [4.0, 0.2, 0.1, 0.3])


@pytest.mark.parametrize("camera", [STEEP, FLAT])
def test_people_who_differ_and_joints_that_are_2_percent_off_give_it_nearly(camera: Mount) -> None:
    found = fit_mount(crowd(camera, 200, noise=0.02)).mount
    np.testing.assert_array_less(off(found, camera), [5.0, 1.5, 1.2, 3.5])


def test_a_third_who_bend_move_the_camera_no_further() -> None:
    bent = crowd(STEEP, 60, noise=0.02, seed=1)
    middle_px = bent.landmarks_px.mean(axis=1, keepdims=True)
    turned = (bent.landmarks_px - middle_px)[..., ::-1] * [0.8, -0.8]
    people = together(crowd(STEEP, 120, noise=0.02), replace(bent, landmarks_px=middle_px + turned))
    np.testing.assert_array_less(off(fit_mount(people).mount, STEEP), [6.0, 2.0, 1.5, 4.0])


def test_who_sits_does_not_stand_and_who_is_cut_off_is_not_whole() -> None:
    people = crowd(FLAT, 10)
    assert len(find_standing(sightings(people))) == 10
    sitting_m = upright_m()
    for side in ("left", "right"):
        sitting_m[INDEX[f"{side}_knee"]] += [0, -0.4, 0.4]
        sitting_m[INDEX[f"{side}_ankle"]] += [0, -0.4, 0.4]
    assert len(find_standing(sightings(people, shape_m=sitting_m))) == 0
    seen = sightings(people)
    seen.joints_px[3, INDEX["head_top"], 1] = -5.0
    assert len(find_standing(seen)) == 9
    seen.scores[4, INDEX["left_ankle"]] = 0.0
    assert len(find_standing(seen)) == 8


def test_a_turned_body_stands_as_well() -> None:
    """The shape counts, not the tilt, which is what the network knows least."""
    cos, sin = np.cos(1.0), np.sin(1.0)
    tilt = np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]])
    assert len(find_standing(sightings(crowd(FLAT, 5), shape_m=upright_m() @ tilt.T))) == 5


def test_the_interval_holds_the_truth_and_less_than_everything() -> None:
    found = estimate_mounting(sightings(crowd(STEEP, 150, noise=0.02)), "dock", replicates=12)
    true = [4.8, 47.0, 5.0, 95.0]
    assert (found.low < true).all()
    assert (true < found.high).all()
    assert (found.high - found.low < [2.5, 12.0, 8.0, 30.0]).all()
    assert found.standing == found.seen == 150


def test_too_few_people_are_refused() -> None:
    with pytest.raises(SourceError, match=r"dock shows 39 people .* 40 are needed"):
        estimate_mounting(sightings(crowd(STEEP, 39)), "dock")


def test_people_all_at_one_distance_are_refused() -> None:
    people = crowd(FLAT, 80, noise=0.01, distances_m=(6.0, 6.2))
    with pytest.raises(SourceError, match="at one distance"):
        estimate_mounting(sightings(people), "dock")


def test_a_camera_that_was_turned_in_between_is_refused() -> None:
    later = crowd(mount(4.8, 35.0, -8.0, 95.0), 80, noise=0.02, seed=1)
    people = together(crowd(STEEP, 80, noise=0.02), later)
    with pytest.raises(SourceError, match="seems to have moved"):
        estimate_mounting(sightings(people), "dock")


class Nobody:
    """Networks that see nobody."""

    def people_in(self, image: np.ndarray) -> list[RelativePose]:
        """See nobody."""
        assert image.ndim == 3
        return []


class Standers(Nobody):
    """Networks that see two people of a crowd in every picture, whatever it shows."""

    def __init__(self, *_: object, **__: object) -> None:
        self._seen = sightings(crowd(STEEP, 160, noise=0.02))
        self._next = 0

    def people_in(self, image: np.ndarray) -> list[RelativePose]:
        """See the next two."""
        assert image.shape == (HEIGHT_PX, WIDTH_PX, 3)
        rows = [self._next, self._next + 1]
        self._next += 2
        return [
            RelativePose(
                joints_px=self._seen.joints_px[row].astype(np.float32),
                joints_m=self._seen.joints_m[row].astype(np.float32),
                scores=self._seen.scores[row].astype(np.float32),
                presence=1.0,
                region=Region(centre_px=(0.0, 0.0), side_px=float(self._seen.side_px[row])),
            )
            for row in rows
        ]


def pictures(folder: Path, sizes: Sequence[tuple[int, int]]) -> Path:
    folder.mkdir()
    for number, (width, height) in enumerate(sizes):
        cv2.imwrite(str(folder / f"{number:04d}.png"), np.zeros((height, width, 3), np.uint8))
    return folder


def test_pictures_of_two_sizes_are_not_of_one_camera(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "both", [(64, 48), (64, 48), (48, 64)])
    with pytest.raises(SourceError, match=r"picture 2 .* is 48 x 64 .* 64 x 48"):
        look_at_camera(folder, Nobody(), every=1, most=10)


def test_what_holds_no_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="there is no"):
        look_at_camera(tmp_path / "gone", Nobody(), every=1, most=10)
    single = pictures(tmp_path / "one", [(64, 48)]) / "0000.png"
    with pytest.raises(SourceError, match="name the folder"):
        look_at_camera(single, Nobody(), every=1, most=10)


def test_of_many_pictures_some_all_along_are_looked_at(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "many", [(64, 48)] * 9)
    assert look_at_camera(folder, Nobody(), every=1, most=4).pictures == 3
    assert look_at_camera(folder, Nobody(), every=1, most=9).pictures == 9


def test_ranges_hold_every_interval_and_are_ones_that_the_renderer_takes() -> None:
    def camera(low: list[float], high: list[float]) -> Estimate:
        ends = np.array(low), np.array(high)
        middle = (ends[0] + ends[1]) / 2
        return Estimate(
            source="x", pictures=1, seen=1, standing=1, value=middle, low=ends[0], high=ends[1]
        )

    options = command.synth_options(
        [
            camera([3.02, 40.2, -3.3, 80.5], [3.6, 45, 1, 99]),
            camera([3.5, 44, 0, 90], [4, 84.2, 2.1, 140]),
        ]
    )
    assert options == [
        *("--camera-height", "3", "4"),
        *("--camera-pitch", "40", "85"),
        *("--camera-roll", "-4", "3"),
        *("--field-of-view", "80", "130"),
    ]
    Mounting(height_m=(3.0, 4.0), pitch_deg=(40.0, 85.0), field_of_view_deg=(80.0, 130.0))


def test_the_command_prints_and_writes_what_it_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "Networks", Standers)
    folder = pictures(tmp_path / "dock", [(WIDTH_PX, HEIGHT_PX)] * 80)
    out = tmp_path / "deep" / "mounting.json"
    gone = tmp_path / "gone"
    words = ["mounting", str(gone), str(folder), "--out", str(out), "--replicates", "10"]
    assert main(words) == 0
    printed = capsys.readouterr().out
    record = json.loads(out.read_text())
    assert "python -m train synth " + " ".join(record["synth_options"]) in printed
    (camera,), (reason,) = record["cameras"], record["left_out"]
    assert f"there is no {gone}" in reason
    assert camera["seen"] == 160
    for name, true in zip(NAMES, (4.8, 47.0, 5.0, 95.0), strict=True):
        low, high = camera[name]["interval"]
        assert low < true < high
    low, high = (float(word) for word in record["synth_options"][1:3])
    assert low <= 4.8 <= high


def test_a_refusal_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "Networks", Standers)
    folder = pictures(tmp_path / "dock", [(WIDTH_PX, HEIGHT_PX)] * 3)
    assert main(["mounting", str(folder)]) == EXIT_OPERATOR
    message = capsys.readouterr().err
    assert "shows 6 people" in message
    gone = tmp_path / "gone"
    assert main(["mounting", str(folder), str(gone)]) == EXIT_OPERATOR
    captured = capsys.readouterr()
    assert "left out: " in captured.out
    assert "none of the 2 cameras" in captured.err
    assert main(["mounting", str(folder), "--replicates", "2"]) == EXIT_OPERATOR
    assert main(["mounting", str(folder), "--stature", "170"]) == EXIT_OPERATOR


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_rendered_camera_is_found_by_the_networks_that_ship(tmp_path: Path) -> None:
    hung = {
        "--camera-height": 3.6,
        "--camera-pitch": 35,
        "--camera-roll": 3,
        "--field-of-view": 80,
    }
    ranges = [str(word) for name, value in hung.items() for word in (name, value, value)]
    words = ["synth", "--people", "150", "--view", "hall", "--size", "384", "--processes", "1"]
    folder, out = tmp_path / "hall", tmp_path / "mounting.json"
    for line in (
        [*words, "--seed", "77", "--out", str(folder), *ranges],
        ["mounting", str(folder), "--out", str(out), "--replicates", "20"],
    ):
        subprocess.run([sys.executable, "-m", "train", *line], cwd=ROOT, check=True)
    (camera,) = json.loads(out.read_text())["cameras"]
    allowed = {"height_m": 1.0, "pitch_deg": 5.0, "roll_deg": 3.0, "field_of_view_deg": 15.0}
    for (name, most), true in zip(allowed.items(), hung.values(), strict=True):
        assert abs(camera[name]["estimate"] - true) < most
