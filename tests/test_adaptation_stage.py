"""The second stage keeps attention where it was, goes on where it stopped, and says what it did."""

import json
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from edge_pose.errors import ConfigError
from tiny_poses import batch, both, stream, transformer
from train.adapt_stage import (
    RECORD,
    Plan,
    adapt,
    adapt_in_turn,
    measured_weights,
    method_of,
    probe_head,
)
from train.adaptation_methods import read_method
from train.agreement import labels_from, mirrored_answer, unmirrored
from train.attention import row_divergence
from train.fit import Schedule
from train.forgetting import DomainError, ForgettingMeter, ForgotTooMuch
from train.look import look

SCHEDULE = Schedule(steps=8, learning_rate=2e-3, warmup_steps=2, average_decay=0.6, save_every=3)


def plan(method: str, *, share: float = 0.2) -> Plan:
    return Plan(method=method, schedule=SCHEDULE, share=share)


class Cut(Exception):
    """The power went away."""


def drift(network: nn.Module) -> float:
    picture = both(0)["target_input"]
    with torch.no_grad():
        _, before = look(transformer(), picture, (0, 1))
        _, after = look(network, picture, (0, 1))
    return sum(float(row_divergence(before[layer], after[layer])) for layer in (0, 1))


def test_attention_on_the_target_stays_nearer_the_first_stage(tmp_path: Path) -> None:
    free, kept = transformer(), transformer()
    adapt(free, stream, plan("unregularised"), tmp_path / "free")
    adapt(kept, stream, plan("attention_divergence", share=3.0), tmp_path / "kept")
    assert drift(kept) < 0.7 * drift(free)


@pytest.mark.parametrize("method", ["attention+masked_consistency", "lp_ft+l2sp"])
def test_an_interrupted_run_ends_where_an_uninterrupted_one_does(
    method: str, tmp_path: Path
) -> None:
    whole = adapt(transformer(), stream, plan(method), tmp_path / "whole")

    def cut(first: int) -> Iterator[Mapping[str, Tensor]]:
        yield from islice(stream(first), max(5 - first, 0))
        raise Cut

    broken = tmp_path / "broken"
    with pytest.raises(Cut):
        adapt(transformer(), cut, plan(method), broken)
    again = adapt(transformer(), stream, plan(method), broken)
    for name, value in whole.items():
        assert torch.allclose(again[name], value, atol=1e-6), name


def test_the_record_says_what_was_done_and_refuses_to_become_something_else(tmp_path: Path) -> None:
    adapt(transformer(), stream, plan("attention"), tmp_path)
    record = json.loads((tmp_path / RECORD).read_text())
    assert record["method"] == "attention"
    assert record["layers"] == [0, 1]
    assert record["penalty_weights"]["attention"] > 0
    assert record["told_target_truth"] is False
    assert method_of(tmp_path) == "attention"
    with pytest.raises(ConfigError, match=r"no adapted network: there is no adaptation\.json"):
        method_of(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="began with method = attention, now it is l2sp"):
        adapt(transformer(), stream, plan("l2sp"), tmp_path)


def test_the_weight_of_a_penalty_grows_with_the_share_and_the_network_stays_as_it_was() -> None:
    network, method = transformer(), read_method("attention+l2sp")
    before = {name: value.clone() for name, value in network.state_dict().items()}
    found = {
        share: measured_weights(network, stream(0), method, plan("attention+l2sp", share=share))
        for share in (0.1, 0.3)
    }
    for name in ("attention", "anchor"):
        assert found[0.3][name] == pytest.approx(3 * found[0.1][name], rel=1e-4)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_a_probe_moves_the_head_alone(tmp_path: Path) -> None:
    network, fresh = transformer(), transformer()
    probe_head(network, stream, plan("lp_ft"), tmp_path)
    assert not torch.equal(network.head.weight, fresh.head.weight)
    for name, value in network.encoder.state_dict().items():
        assert torch.equal(value, fresh.encoder.state_dict()[name])
    assert all(value.requires_grad for value in network.parameters())


def test_unsure_joints_and_people_weigh_nothing() -> None:
    answer = {
        "joints_px": torch.zeros(2, 25, 2),
        "joints_m": torch.zeros(2, 25, 3),
        "reach_px": torch.zeros(2, 2, 2),
        "score_logits": torch.tensor([[2.0] * 24 + [-0.1]]).expand(2, -1),
        "presence_logits": torch.tensor([3.0, -3.0]),
    }
    weight = labels_from(answer)["weight_2d"]
    assert weight[0, 0] == pytest.approx(1 / (1 + torch.exp(torch.tensor(-2.0))))
    assert weight[0, 24] == 0
    assert not weight[1].any()


def test_the_answer_for_a_mirror_image_is_turned_back_by_its_own_inverse() -> None:
    answer = transformer(2)(batch(0)["input"])
    again = unmirrored(unmirrored(answer))
    for name, value in answer.items():
        assert torch.allclose(again[name], value, atol=1e-4)
    turned = unmirrored(answer)
    assert torch.allclose(turned["joints_px"][:, 9, 0], 255 - answer["joints_px"][:, 10, 0])
    assert torch.allclose(turned["joints_m"][:, 15, 0], -answer["joints_m"][:, 16, 0])
    assert torch.allclose(turned["joints_m"][:, 15, 1:], answer["joints_m"][:, 16, 1:])


def test_a_mirrored_picture_has_the_mirrored_answer() -> None:
    network, picture = transformer(2), batch(0)["input"]
    with torch.no_grad():
        plain = mirrored_answer(network, picture, picture.flip(-1))
        flipped = unmirrored(mirrored_answer(network, picture.flip(-1), picture))
    for name, value in plain.items():
        assert torch.allclose(flipped[name], value, atol=1e-4)


def test_targets_in_turn_begin_where_the_last_one_ended_and_the_bound_stops_them(
    tmp_path: Path,
) -> None:
    errors = {"start": 90.0, "line-7": 60.0, "line-8": 75.5, "line-9": 60.0}
    seen: dict[str, Tensor] = {}
    meter = ForgettingMeter(tmp_path / "meter.jsonl", bound_mm=10.0)

    def measure(stage: str, network: nn.Module) -> None:
        seen[stage] = next(network.parameters()).detach().clone()
        meter.add(stage, {"line-7": DomainError(crop_percent=3.0, mm=errors[stage])})

    targets = dict.fromkeys(("line-7", "line-8", "line-9"), stream)
    network = transformer()
    with pytest.raises(ForgotTooMuch, match=r"stage line-8 forgot 15\.5 mm of line-7"):
        adapt_in_turn(network, targets, plan("attention"), tmp_path, measure=measure)
    assert list(seen) == ["start", "line-7", "line-8"]
    assert torch.equal(seen["start"], next(transformer().parameters()))
    assert not torch.equal(seen["line-7"], seen["line-8"])
    assert not (tmp_path / "line-9").exists()
