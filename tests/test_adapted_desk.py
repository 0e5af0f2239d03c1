"""Networks on the desk in known squares: which runs there are, where joints point, the table."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from jaxtyping import Float32
from torch import Tensor, nn

from benchmarks import adapted_desk as bench
from edge_pose import skeleton
from edge_pose.camera import camera_from_ray
from edge_pose.crop import take_crop
from edge_pose.errors import ConfigError
from edge_pose.region import Region
from edge_pose.skeleton import INDEX, NUM_JOINTS
from edge_pose.types import Intrinsics
from train import checkpoint, desk, run_recipe
from train.adapt_stage import RECORD
from train.domain_errors import ALIGNED, FLAT, POSITION
from train.pose_augment import Person, cut_crop
from train.triangulate import Camera
from train.vit import SIZES
from train.vit_pose import VitPose

PICTURE = np.zeros((720, 1280, 3), np.uint8)
MATRIX = np.array([[900.0, 0, 640], [0, 910, 350], [0, 0, 1]])


def leave_run(out: Path, variant: str, seed: int, *, step: int = 40, **words: str) -> Path:
    """Leave what `train adapt` leaves of a second stage, but for the network."""
    folder = out / "second" / f"{variant}-seed{seed}"
    folder.mkdir(parents=True)
    recipe = {"variant": variant, "seed": seed, "network": "nano", "begin": None, **words}
    run_recipe.write(folder, recipe)
    (folder / RECORD).write_text(json.dumps({"method": "attention"}))
    (folder / checkpoint.WORDS).write_text(json.dumps({"step": step, "steps": 40}))
    return folder


def test_runs_are_known_by_their_recipes(tmp_path: Path) -> None:
    """A variant's own name has a hyphen and a seed in it, and must not be cut there."""
    leave_run(tmp_path, "source_only", 3)
    leave_run(tmp_path, "odd-seed7", 11)
    (tmp_path / "second" / "source_only-seed3" / "probe").mkdir()
    found = {(run.out, run.method, run.seed) for run in bench.runs_of(tmp_path)}
    assert found == {(str(tmp_path), "source_only", 3), (str(tmp_path), "odd-seed7", 11)}


def test_what_cannot_be_measured_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no second stage.*--out folder"):
        bench.runs_of(tmp_path)
    half = leave_run(tmp_path / "half", "mae", 0, step=20)
    with pytest.raises(ConfigError, match=r"mae-seed0 has taken 20 of 40 steps"):
        bench.runs_of(tmp_path / "half")
    (half / checkpoint.WORDS).unlink()
    with pytest.raises(ConfigError, match="has taken 0 of all steps"):
        bench.runs_of(tmp_path / "half")
    (half / run_recipe.RECIPE).unlink()
    with pytest.raises(ConfigError, match="names no variant"):
        bench.runs_of(tmp_path / "half")


def test_a_run_of_a_network_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    leave_run(tmp_path, "mae", 0, network="colossus")
    (run,) = bench.runs_of(tmp_path)
    with pytest.raises(ConfigError, match="says network = colossus, wanted one of"):
        bench.network_of(run)


def test_the_network_of_a_run_has_its_averaged_weights(tmp_path: Path) -> None:
    folder = leave_run(tmp_path, "mae", 0)
    torch.manual_seed(5)
    trained = dict(VitPose(SIZES["nano"]).named_parameters())
    average = {f"average.{name}": value.detach() for name, value in trained.items()}
    checkpoint.write(folder, average, {"step": 40, "steps": 40})
    (run,) = bench.runs_of(tmp_path)
    network = bench.network_of(run)
    assert not network.training
    for name, value in network.named_parameters():
        assert torch.equal(value, trained[name])
    checkpoint.write(folder, {**average, "average.tail": torch.ones(1)}, {"step": 40, "steps": 40})
    with pytest.raises(ConfigError, match="trained tail, which the network nano does not have"):
        bench.network_of(run)


def view_with(turns: int) -> desk.View:
    rotation = cv2.Rodrigues(np.array([0.1, -0.2, 0.05]))[0]
    return desk.View(
        name="0",
        camera=Camera(
            matrix=MATRIX,
            distortion=np.array([0.19, -0.28, -0.02, 0.03, 0.15]),
            camera_from_world=np.hstack([rotation, [[0.1], [-0.1], [0.2]]]),
        ),
        clip=Path("nowhere.mp4"),
        width_px=1280,
        height_px=720,
        turns=turns,
    )


@pytest.mark.parametrize("turns", range(4))
def test_the_ray_of_a_pixel_passes_through_what_the_calibration_shows_there(turns: int) -> None:
    """The calibration goes from metres to stored pixels and is turned; the ray goes back."""
    joints_m = np.random.default_rng(turns).uniform((-0.6, -0.4, 2), (0.6, 0.3, 3), (4, 3))
    in_view_m, pixels_px = desk.seen_by(view_with(turns), joints_m[None])
    for joint_m, pixel_px in zip(in_view_m[0], pixels_px[0], strict=True):
        forward = camera_from_ray(pixel_px, bench.intrinsics_of(view_with(turns)))[:, 2]
        np.testing.assert_allclose(forward, joint_m / np.linalg.norm(joint_m), atol=1e-4)


class Knowing(nn.Module):
    """Answers every crop with the same joints, and keeps what it was shown."""

    def __init__(
        self,
        joints_px: Float32[np.ndarray, "joints 2"],
        joints_m: Float32[np.ndarray, "joints 3"],
    ) -> None:
        super().__init__()
        self.nothing = nn.Parameter(torch.zeros(1))
        self.joints_px = torch.from_numpy(joints_px)
        self.joints_m = torch.from_numpy(joints_m)
        self.shown: list[Tensor] = []

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Say it once for each crop."""
        self.shown.append(image)
        count = len(image)
        return {
            "joints_px": self.joints_px.expand(count, -1, -1),
            "joints_m": self.joints_m.expand(count, -1, -1),
            "score_logits": torch.zeros(count, NUM_JOINTS),
            "presence_logits": torch.zeros(count),
            "reach_px": torch.tensor([[127.5, 127.5], [127.5, 25.0]]).expand(count, -1, -1),
        }


def test_the_turn_undoes_what_training_does_to_the_truth() -> None:
    """Training turns camera axes to those of the crop's ray; a network that learnt it is right."""
    random = np.random.default_rng(0)
    joints_m = random.normal((0.7, 0.5, 2.5), 0.2, (NUM_JOINTS, 3)).astype(np.float32)
    joints_px = (joints_m @ MATRIX.T / joints_m[:, 2:])[:, :2].astype(np.float32)
    picture = PICTURE.copy()
    picture[..., 2] = 255
    person = Person(
        image=picture,
        box_px=np.array([0, 0, 9, 9], np.float32),
        reach_px=np.zeros((2, 2), np.float32),
        joints_px=joints_px,
        weight_2d=np.ones(NUM_JOINTS, np.float32),
        joints_m=joints_m,
        camera_matrix=MATRIX,
    )
    region = Region(centre_px=(900.0, 520.0), side_px=400.0, turn_rad=0.4)
    learnt = cut_crop(person, region)
    look = bench.Look(
        intrinsics=Intrinsics(matrix=MATRIX, width_px=1280, height_px=720, assumed=False),
        crops=(take_crop(picture, region),) * (bench.AT_ONCE + 1),
    )
    network = Knowing(learnt.joints_px, learnt.joints_m)
    poses = bench.poses_of(network, [look])
    assert poses.found.shape == (bench.AT_ONCE + 1,)
    np.testing.assert_allclose(poses.joints_px[-1], joints_px, atol=1e-2)
    expected_m = joints_m - joints_m[skeleton.ROOT]
    np.testing.assert_allclose(poses.joints_m[-1], expected_m, atol=1e-5)
    # Red is the first of the planes, as in training.
    assert torch.equal(network.shown[0][0], torch.from_numpy(learnt.image) / 255)


def sitting() -> tuple[np.ndarray, np.ndarray]:
    """Sit at 100 px a metre, hips at (300, 400), without the joints that MediaPipe lacks."""
    seen_m = np.zeros((NUM_JOINTS, 3))
    for side, x in (("left", 0.15), ("right", -0.15)):
        places = {"ear": -0.7, "shoulder": -0.5, "hip": 0.0, "knee": 0.45, "ankle": 0.9}
        for name, y in places.items():
            seen_m[INDEX[f"{side}_{name}"], :2] = x, y
    seen_px = 100 * seen_m[:, :2] + (300, 400)
    for name in ("spine", "neck", "head_top"):
        seen_m[INDEX[name]], seen_px[INDEX[name]] = np.nan, np.nan
    return seen_px, seen_m


def test_a_square_is_about_the_hips_with_the_head_up_and_as_large_as_the_body() -> None:
    seen_px, seen_m = sitting()
    region = bench.square_of(seen_px, seen_m)
    np.testing.assert_allclose(region.centre_px, (300, 400), atol=1e-3)
    assert region.turn_rad == pytest.approx(0, abs=1e-6)
    # Torso 0.5 m, leg 0.9 m: the reach is 0.655 of both, and the square 2.5 reaches wide.
    assert region.side_px == pytest.approx(2.5 * 0.655 * 1.4 * 100, rel=1e-3)
    beside = np.stack([700 - seen_px[:, 1], seen_px[:, 0] + 100], axis=1)
    seen_beside = seen_m[:, [1, 0, 2]] * (-1, 1, 1)
    assert bench.square_of(beside, seen_beside).turn_rad == pytest.approx(np.pi / 2)


def test_joints_count_in_a_square_that_can_be_right() -> None:
    joints_px = np.array([[50.0, 50], [98, 50], [102, 50], [50, -2], [np.nan, np.nan]])
    square = Region(centre_px=(50.0, 50.0), side_px=100.0)
    assert bench.held_by(square, joints_px).tolist() == [True, True, False, False, False]
    tilted = Region(centre_px=(50.0, 50.0), side_px=100.0, turn_rad=0.7)
    assert bench.held_by(tilted, np.array([[2.0, 2], [50, 50]])).tolist() == [False, True]
    fallen = Region(centre_px=(50.0, 50.0), side_px=100.0, turn_rad=-0.8)
    assert not bench.held_by(fallen, joints_px).any()


SECONDS = np.array([0, 0, 1, 2, 2, 3])


def entry(out: str, method: str, seed: int | None) -> bench.Run:
    return bench.Run(out=out, method=method, seed=seed, folder=None)


def errors(mm: float) -> bench.Errors:
    """Err by as much in the first picture, by twice as much in the second, and so on."""
    rising = mm * np.arange(1.0, 7)[:, None] * np.ones(NUM_JOINTS)
    rising[:, 3] = np.nan
    return {POSITION: rising, ALIGNED: rising / 2, FLAT: rising / 100}


def test_a_method_is_compared_with_its_own_folder_and_shared_seeds() -> None:
    found = {
        entry("a", "source_only", 0): errors(100),
        entry("a", "source_only", 1): errors(140),
        entry("a", "mae", 0): errors(90),
        entry("a", "mae", 1): errors(114),
        entry("a", "mae", 2): errors(999),
        entry("b", "mae", 0): errors(200),
        entry(bench.ALONE, "published", None): errors(10),
    }
    head, _, *rows = bench.method_table(found, SECONDS).splitlines()
    assert head.startswith("| runs | method | seeds | MPJPE mm | change % |")
    # The mean of 1 to 6 is 3.5; two seeds 140 mm apart deviate by 140 / sqrt(2).
    assert rows[0].startswith("| a | source_only | 2 | 420.00 ± 98.99 | - | 210.00 ± 49.50 | - |")
    assert "| a | mae | 3 | 1403.50 ± " in rows[1]
    # 90 + 114 of 100 + 140; the third seed has nothing to be compared with.
    assert rows[1].count("| -15.0 [-15.0, -15.0] |") == 3
    assert rows[2].startswith("| b | mae | 1 | 700.00 | - | 350.00 | - |")
    assert rows[3] == "| - | published | 1 | 35.00 | - | 17.50 | - | 0.35 | - |"
    _, _, *rows = bench.seed_table(found).splitlines()
    assert rows[4] == "| a | mae | 2 | 3496.50 | 1748.25 | 34.97 |"
    assert rows[6].startswith("| - | published | - | 35.00 |")


def test_a_change_is_of_sums_over_whole_seconds_that_both_measured() -> None:
    theirs = np.array([[100.0], [100], [100], [100], [np.nan], [50]])
    ours = np.array([[80.0], [80], [120], [np.nan], [7], [50]])
    found = bench.change_percent(ours, theirs, SECONDS)
    assert found.mean == pytest.approx(100 * (330 / 350 - 1))
    assert (found.groups, found.measured) == (3, 4)
    # Of three seconds drawn at random all may be the worst, 1, or the best, 0.
    assert found.low == pytest.approx(-20)
    assert found.high == pytest.approx(20)
