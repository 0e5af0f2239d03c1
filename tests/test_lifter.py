"""Joints are lifted from the picture into metres, by what a network said about rendered people."""

import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from edge_pose import skeleton
from edge_pose.errors import ConfigError
from export.graph import export_pose
from mim_folders import labelled_folder, rendered_folder
from test_pose_augment import far_person, misfit_px
from train.__main__ import main
from train.asked import VIEWS, Asked, answers_to, asked_about
from train.asked_anew import moved_rows
from train.begin import start_of, student_from
from train.calibrate import identity
from train.lift_command import ask, asking, nearer
from train.lifter import Lifter
from train.pool import cut_wide
from train.pose_augment import Augmentation
from train.pose_data import RenderedPeople, collate
from train.stream import Batch
from train.student import INPUT_SIZE_PX, PoseNet

CROPS = 64


def bodies(crops: int, seed: int) -> dict[str, torch.Tensor]:
    """Sticks of joints, each turned about the line of sight, seen from far away and exactly."""
    random = np.random.default_rng(seed)
    line_m = np.linspace(-0.9, 0.9, skeleton.NUM_JOINTS)
    turn, lean = random.uniform(-np.pi, np.pi, crops), random.uniform(0.2, 1.2, crops)
    flat = np.stack([np.cos(turn) * np.cos(lean), np.sin(turn) * np.cos(lean)], 1)
    way = np.column_stack([flat, np.sin(lean)])
    metres = line_m[None, :, None] * way[:, None]
    metres -= metres[:, skeleton.ROOT : skeleton.ROOT + 1]
    places = metres[..., :2] * 60 + (INPUT_SIZE_PX - 1) / 2
    arrays = {
        "joints_px": places,
        "score_logits": np.full((crops, skeleton.NUM_JOINTS), 3.0),
        "joints_m": metres * (1, 1, 0),
        "true_px": places + 8,
        "true_m": metres,
    }
    return {name: torch.from_numpy(array.astype(np.float32)) for name, array in arrays.items()}


def lifted(lifter: Lifter, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    return lifter(*(batch[name] for name in ("joints_px", "score_logits", "joints_m")))


def test_before_training_it_corrects_nothing() -> None:
    batch = bodies(CROPS, 0)
    torch.testing.assert_close(lifted(Lifter(INPUT_SIZE_PX), batch), batch["joints_m"])


def test_it_learns_the_depth_that_a_trunk_does_not_know() -> None:
    """A stick of known length that looks short leans: its depth follows, and the pelvis stays."""
    torch.manual_seed(0)
    lifter = Lifter(INPUT_SIZE_PX)
    optimiser = torch.optim.AdamW(lifter.parameters(), 1e-3)
    for step in range(150):
        batch = bodies(CROPS, step)
        loss = (lifted(lifter, batch) - batch["true_m"]).norm(dim=-1).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    unseen = bodies(CROPS, 10_000)
    before = (unseen["joints_m"] - unseen["true_m"]).norm(dim=-1).mean()
    with torch.no_grad():
        said = lifted(lifter, unseen)
    assert (said - unseen["true_m"]).norm(dim=-1).mean() < 0.25 * before
    assert (said[:, skeleton.ROOT] == 0).all()


def test_half_of_the_crops_are_shown_nearer_to_the_truth_and_surer() -> None:
    torch.manual_seed(3)
    batch = bodies(400, 1)
    places, logits = nearer(batch)
    shares = ((places - batch["joints_px"]) / 8)[..., 0]
    moved = shares[:, 0] > 0
    assert 0.4 < moved.float().mean() < 0.6
    torch.testing.assert_close(shares, shares[:, :1].expand_as(shares), atol=1e-3, rtol=0)
    assert 0.4 < shares[moved, 0].mean() < 0.6
    torch.testing.assert_close(logits, 3 + 3 * shares, atol=1e-2, rtol=0)


def test_nobody_is_asked_twice(tmp_path: Path) -> None:
    asked: list[int] = []

    def after(first: int) -> Iterator[Batch]:
        for number in count(first):
            asked.append(number)
            said = torch.full((2, skeleton.NUM_JOINTS, 6), float(number))
            yield {"input": said, "joints_px": said[..., :2], "joints_m": said[..., 3:]}

    fewer = answers_to(after, 40, tmp_path)
    more = answers_to(after, 100, tmp_path)
    assert asked == list(range(112))
    np.testing.assert_array_equal(more.joints_px[: len(fewer)], fewer.joints_px)
    assert more.score_logits[:, 0].tolist() == [number for number in range(112) for _ in range(2)]


@pytest.fixture
def no_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    """On one, no process but this one asks."""
    monkeypatch.setattr("train.lift_command.device", lambda: torch.device("cpu"))


@pytest.mark.slow
@pytest.mark.usefixtures("no_accelerator")
def test_it_is_told_the_same_however_many_processes_ask(tmp_path: Path) -> None:
    people = RenderedPeople(rendered_folder(tmp_path / "people", 6))
    network = PoseNet("lite").eval()
    alone, together = (
        ask(network, people, crops=512, seed=4, workers=workers, folder=tmp_path / str(workers))
        for workers in (0, 2)
    )
    assert len(alone) == 512
    np.testing.assert_array_equal(alone.true_px, together.true_px)
    np.testing.assert_allclose(alone.joints_px, together.joints_px, atol=1e-3)


@pytest.mark.usefixtures("no_accelerator")
def test_every_core_asks_unless_somebody_chose_how_many() -> None:
    cores = len(os.sched_getaffinity(0))
    assert asking(1, told=False) == min(cores, 4)
    assert asking(1, told=True) == 1
    assert asking(0, told=True) == 0


@pytest.fixture(scope="module")
def lifted_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lift")
    people = rendered_folder(folder / "people", 6)
    bundle = "edge_pose/models/fast"
    words = ["lift", "--begin", bundle, "--rendered", str(people), "--crops", "64", "--workers"]
    words += ["0", "--preset", "tiny", "--steps", "3", "--out", str(folder / "run")]
    assert main(words) == 0
    return folder / "run"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning:copyreg")
def test_a_run_is_the_whole_network_and_what_is_exported_says_the_same(
    lifted_run: Path, tmp_path: Path
) -> None:
    began, network = (
        student_from(path).cpu() for path in (Path("edge_pose/models/fast"), lifted_run)
    )
    assert network.lifter is not None
    with torch.no_grad():
        network.lifter.leave.bias.add_(0.05)
    for name, value in began.stem.state_dict().items():
        assert torch.equal(value, network.stem.state_dict()[name]), name
    graph = tmp_path / "pose.onnx"
    export_pose(network, identity(skeleton.NUM_JOINTS).table(), graph)
    image = torch.rand(1, 3, INPUT_SIZE_PX, INPUT_SIZE_PX, generator=torch.manual_seed(2))
    with torch.no_grad():
        ours = network(image)
    session = onnxruntime.InferenceSession(graph)
    (said_m,) = session.run(["joints_m"], {"image": image.numpy()})
    np.testing.assert_allclose(said_m, ours["joints_m"].numpy(), atol=2e-3)
    again = student_from(graph)
    assert start_of(graph) == "full"
    assert again.lifter is not None
    for name, value in network.lifter.state_dict().items():
        np.testing.assert_allclose(again.lifter.state_dict()[name], value, atol=1e-3, err_msg=name)


@pytest.mark.slow
def test_a_lifter_goes_on_from_that_of_another_network(
    lifted_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A trunk that was trained on is read by the lifter of the one before, and then anew."""
    people = rendered_folder(tmp_path / "people", 6)
    words = ["lift", "--rendered", str(people), "--crops", "32", "--workers", "0", "--preset"]
    words += ["tiny", "--steps", "1", "--learning-rate", "0", "--begin", str(lifted_run)]
    shipped = Path("edge_pose/models/fast")
    out = tmp_path / "run"
    assert main([*words, "--go-on", str(shipped), "--out", str(out)]) == 0
    lifter, before, own = (student_from(path).lifter for path in (out, shipped, lifted_run))
    assert lifter is not None
    assert before is not None
    assert own is not None
    for name, value in before.state_dict().items():
        torch.testing.assert_close(lifter.state_dict()[name], value, msg=name)
    assert not torch.equal(own.state_dict()["leave.bias"], lifter.state_dict()["leave.bias"])
    without = tmp_path / "without"
    assert main(["soup", "--of", str(shipped), str(shipped), "--out", str(without)]) == 0
    capsys.readouterr()
    assert main([*words, "--go-on", str(without), "--out", str(tmp_path / "no")]) == 78
    assert "without a lifter" in capsys.readouterr().err


@pytest.mark.slow
def test_training_goes_on_without_a_lifter(lifted_run: Path, tmp_path: Path) -> None:
    """What it was trained for will have changed; the next `train lift` makes another."""
    folders = rendered_folder(tmp_path / "people", 4), labelled_folder(tmp_path / "labels", 12)
    words = ["student", "--rendered", str(folders[0]), "--real", str(folders[1]), "--preset"]
    words += ["tiny", "--steps", "1", "--part", "head", "--workers", "0", "--batch-size", "4"]
    words += ["--begin", str(lifted_run), "--hold", str(lifted_run), "--out"]
    assert main([*words, str(tmp_path / "run")]) == 0
    assert student_from(tmp_path / "run").lifter is None
    assert (tmp_path / "run" / "held.npy").exists()
    assert "held" in (tmp_path / "run" / "losses.csv").read_text().splitlines()[0].split(",")
    assert main([*words, str(tmp_path / "other"), "--start", "lite"]) == 78


def test_the_whole_network_says_the_mean_of_both_opinions() -> None:
    network = PoseNet("lite").eval()
    image = torch.rand(1, 3, INPUT_SIZE_PX, INPUT_SIZE_PX)
    with torch.no_grad():
        trunks = network(image)["joints_m"]
        network.lifter = Lifter(INPUT_SIZE_PX)
        network.lifter.leave.bias.fill_(0.1)
        network.lifter.leave.bias[3 * skeleton.ROOT : 3 * skeleton.ROOT + 3] = 0.0
        both = network(image)["joints_m"]
    wanted = trunks + 0.05
    wanted[:, skeleton.ROOT] = 0.0
    torch.testing.assert_close(both, wanted)


def test_asked_says_all_that_a_lifter_reads() -> None:
    network = PoseNet("lite").eval()
    image = torch.rand(2, 3, INPUT_SIZE_PX, INPUT_SIZE_PX)
    with torch.no_grad():
        (said,) = Asked(network)(image)
        answer = network(image)
    torch.testing.assert_close(said[..., :2], answer["joints_px"])
    torch.testing.assert_close(said[..., 2], answer["score_logits"])
    torch.testing.assert_close(said[..., 3:], answer["joints_m"])


def test_an_accelerator_is_told_the_truth_about_each_crop_that_it_is_asked_about() -> None:
    """Each view of a wide crop comes with its own places, and in the order of the blocks."""
    network = PoseNet("lite").eval()
    rng = np.random.default_rng(1)
    people = [cut_wide(far_person(seed), Augmentation(), rng) for seed in range(2)]
    blocks = [dict(collate([person], None)) for person in people]
    still = list(asked_about(blocks, network, Augmentation(), seed=3, first=0))
    assert len(still) == len(blocks) * VIEWS
    for number, batch in enumerate(still):
        person = people[number // VIEWS]
        np.testing.assert_allclose(batch["joints_px"][0], person.joints_px, atol=1e-3)
        np.testing.assert_allclose(batch["joints_m"][0], person.joints_m, atol=1e-5)
    torch.testing.assert_close(still[0]["input"], still[1]["input"])
    moving = Augmentation(shift=0.1, turn_rad=0.5)
    moved = list(asked_about(blocks, network, moving, seed=3, first=0))
    assert not torch.allclose(moved[0]["joints_px"], moved[1]["joints_px"], atol=1)
    (again,) = list(asked_about(blocks[1:], network, moving, seed=3, first=1))[:1]
    torch.testing.assert_close(again["joints_px"], moved[VIEWS]["joints_px"])
    torch.testing.assert_close(again["input"], moved[VIEWS]["input"])


def test_answers_move_together_with_the_truth() -> None:
    """However rows are moved, what is seen straight from the front lies where it did."""
    batch = bodies(CROPS, 3)
    sides = np.random.default_rng(2).normal(0, 0.2, (CROPS, skeleton.NUM_JOINTS, 3))
    batch["true_m"] = batch["true_m"] + torch.from_numpy(sides.astype(np.float32))
    batch["true_px"] = batch["true_m"][..., :2] * 60 + (INPUT_SIZE_PX - 1) / 2
    torch.manual_seed(1)
    moved = moved_rows(batch)
    at = batch["true_m"].norm(dim=-1)
    mirror = torch.tensor(skeleton.MIRROR)
    now = moved["true_m"].norm(dim=-1)
    plain = torch.isclose(now, at, atol=1e-5).all(1)
    flipped = torch.isclose(now, at[:, mirror], atol=1e-5).all(1)
    assert (plain ^ flipped).all()
    assert 10 < flipped.sum() < CROPS - 10
    for metres, places in zip(moved["true_m"], moved["true_px"], strict=True):
        assert misfit_px(metres.numpy(), places.numpy()) < 1e-2
    away_px = (moved["joints_px"] - moved["true_px"]).norm(dim=-1)
    was_px = (batch["joints_px"] - batch["true_px"]).norm(dim=-1)
    scale = away_px / torch.where(plain[:, None], was_px, was_px[:, mirror])
    torch.testing.assert_close(scale, scale[:, :1].expand_as(scale), rtol=1e-3, atol=1e-3)
    depth = torch.where(plain[:, None], batch["true_m"][..., 2], batch["true_m"][:, mirror, 2])
    torch.testing.assert_close(moved["true_m"][..., 2], depth)


def test_networks_that_began_apart_have_no_mean(tmp_path: Path, lifted_run: Path) -> None:
    other = tmp_path / "lite"
    words = ["soup", "--of", str(lifted_run), str(lifted_run), "--out", str(other)]
    assert main(words) == 0
    assert student_from(other).lifter is None
    (other / "recipe.json").write_text('{"start": "lite"}')
    assert main(["soup", "--of", str(lifted_run), str(other), "--out", str(tmp_path / "no")]) == 78
    (other / "recipe.json").write_text('{"start": "huge"}')
    with pytest.raises(ConfigError, match="the start huge"):
        start_of(other)
