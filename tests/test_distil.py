"""The student learns relations and sure answers of the teacher, and the truth of the source."""

from itertools import repeat
from pathlib import Path

import numpy as np
import pytest
import torch

from edge_pose.errors import ConfigError
from tiny_poses import Convolutions, both, transformer
from train import checkpoint
from train.agreement import AGREEMENT_WEIGHTS, agreement_terms, mirrored_answer
from train.distil import (
    DISTILLATION_WEIGHTS,
    Distillation,
    distil,
    distillation_total,
    relation_gap,
)
from train.fit import Schedule
from train.pose_loss import WEIGHTS, pose_terms


def test_relations_are_those_of_a_naive_loop() -> None:
    random = torch.Generator().manual_seed(0)
    features = torch.randn(1, 5, 2, 2, generator=random)
    tokens = torch.randn(1, 16, 7, generator=random)  # a grid of 4 x 4, pooled to 2 x 2
    grid = tokens[0].double().numpy().reshape(4, 4, 7)
    theirs = [
        grid[row : row + 2, column : column + 2].mean((0, 1)) for row in (0, 2) for column in (0, 2)
    ]
    ours = [features[0, :, row, column].double().numpy() for row in (0, 1) for column in (0, 1)]

    def cosine(one: np.ndarray, other: np.ndarray) -> float:
        return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))

    gaps = [
        (cosine(ours[i], ours[j]) - cosine(theirs[i], theirs[j])) ** 2
        for i in range(4)
        for j in range(4)
        if i != j
    ]
    assert float(relation_gap(features, tokens)) == pytest.approx(np.mean(gaps), rel=1e-5)


def test_features_of_another_width_that_relate_alike_leave_no_gap() -> None:
    tokens = torch.randn(2, 16, 6, generator=torch.Generator().manual_seed(1))
    rotation, _ = torch.linalg.qr(torch.randn(9, 6, generator=torch.Generator().manual_seed(2)))
    features = 3 * (tokens @ rotation.mT).mT.reshape(2, 9, 4, 4)
    assert float(relation_gap(features, tokens)) < 1e-10
    assert float(relation_gap(features.flip(-1), tokens)) > 1e-3


def test_relations_can_be_learned_by_features_of_a_smaller_width() -> None:
    random = torch.Generator().manual_seed(3)
    tokens = torch.randn(2, 16, 12, generator=random)
    features = torch.nn.Parameter(torch.randn(2, 6, 2, 2, generator=random))
    optimiser = torch.optim.Adam([features], lr=0.05)
    gaps = []
    for _ in range(60):
        gap = relation_gap(features, tokens)
        optimiser.zero_grad()
        gap.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        gaps.append(float(gap.detach()))
    assert gaps[-1] < 0.01 * gaps[0]


def test_the_terms_are_the_truth_of_the_source_and_the_teacher_on_the_target() -> None:
    torch.manual_seed(0)
    student, teacher, batch = Convolutions(), transformer(1), both(0, target_3d=True)
    with torch.no_grad():
        terms = Distillation(teacher).terms(student, batch)
        assert terms.keys() == DISTILLATION_WEIGHTS.keys()
        for name, value in pose_terms(student(batch["input"]), batch).items():
            assert torch.equal(terms[name], value)
        picture = batch["target_input"]
        told = mirrored_answer(teacher, picture, picture.flip(-1))
        for name, value in agreement_terms(student(picture), told).items():
            assert torch.allclose(terms[f"teacher_{name}"], value)
        lied = {name: value for name, value in batch.items() if name != "target_joints_px"}
        again = Distillation(teacher).terms(student, lied)
        assert torch.equal(distillation_total(terms), distillation_total(again))


def test_a_teacher_that_is_unsure_teaches_no_positions() -> None:
    torch.manual_seed(0)
    student, teacher, batch = Convolutions(), transformer(1), both(0)
    with torch.no_grad():
        teacher.head.bias[-1] = -20  # nobody is there
        terms = Distillation(teacher).terms(student, batch)
    assert all(float(terms[f"teacher_{name}"]) == 0 for name in ("px", "metres", "reach"))
    assert float(terms["teacher_presence"]) > 0


def test_the_student_comes_nearer_and_the_teacher_stays(tmp_path: Path) -> None:
    torch.manual_seed(0)
    student, teacher, batch = Convolutions(), transformer(1), both(0)
    with torch.no_grad():
        teacher.head.bias[-26:] = 3  # sure of everything
        first = Distillation(teacher).terms(student, batch)
    before = [value.clone() for value in teacher.parameters()]
    schedule = Schedule(steps=15, learning_rate=3e-3, warmup_steps=1)
    average = distil(student, teacher, lambda _first: repeat(batch), schedule, tmp_path)
    assert average.keys() == dict(student.named_parameters()).keys()
    with torch.no_grad():
        last = Distillation(teacher).terms(student, batch)
    for name in ("teacher_px", "teacher_reach", "teacher_presence"):
        assert float(last[name]) < 0.9 * float(first[name]), name
    assert all(torch.equal(one, two) for one, two in zip(before, teacher.parameters(), strict=True))
    assert all(value.grad is None for value in teacher.parameters())


def test_a_run_goes_on_only_behind_the_stem_that_it_began_behind(tmp_path: Path) -> None:
    schedule = Schedule(steps=2, learning_rate=1e-3, warmup_steps=1)

    def run(seed: int) -> dict[str, torch.Tensor]:
        torch.manual_seed(seed)
        student = Convolutions()
        student.stem.requires_grad_(requires_grad=False)
        batches = repeat(both(0))
        return distil(student, transformer(1), lambda _: batches, schedule, tmp_path)

    first = run(0)
    assert any(name.startswith("stem.") for name in first)
    again = run(0)
    assert all(torch.equal(again[name], value) for name, value in first.items())
    with pytest.raises(ConfigError, match=r"began with another stem\..*choose a new folder"):
        run(1)
    saved = checkpoint.read(tmp_path)
    assert saved is not None
    kept = {name: value for name, value in saved.tensors.items() if "stem." not in name}
    checkpoint.write(tmp_path, kept, {**saved.words, "step": 1})
    with pytest.raises(ConfigError, match=r"lacks stem\..*an older version left out; delete that"):
        run(0)


def test_weights_are_the_same_for_the_truth_and_for_a_teacher() -> None:
    assert all(
        DISTILLATION_WEIGHTS[f"teacher_{name}"] == WEIGHTS[name] for name in AGREEMENT_WEIGHTS
    )


def test_agreement_is_the_distance_of_sure_joints_by_hand() -> None:
    told = {
        "joints_px": torch.zeros(1, 25, 2),
        "joints_m": torch.zeros(1, 25, 3),
        "reach_px": torch.zeros(1, 2, 2),
        "score_logits": torch.full((1, 25), -5.0),
        "presence_logits": torch.tensor([5.0]),
    }
    told["score_logits"][0, :2] = torch.tensor([1.0, 3.0])  # two sure joints
    answer = {name: value.clone() for name, value in told.items()}
    answer["joints_px"][0, 0] = torch.tensor([3.0, -4.0])
    answer["joints_px"][0, 5] = 99  # unsure: costs nothing
    answer["joints_m"][0, 1, 2] = 0.5
    low, high = 1 / (1 + np.exp(-1.0)), 1 / (1 + np.exp(-3.0))
    terms = agreement_terms(answer, told)
    assert float(terms["px"]) == pytest.approx(7 / 256 * low / (low + high))
    assert float(terms["metres"]) == pytest.approx(0.5 * high / (low + high))
    assert float(terms["reach"]) == 0
