"""What adapts reads of the target only what its name says, and keeps what it promises to keep."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from edge_pose.errors import ConfigError
from tiny_poses import Convolutions, both, stream, transformer
from train.adaptation import Adaptation
from train.adaptation_methods import METHODS, read_method, require_selectable
from train.fit import Schedule, fit
from train.look import all_layers, chosen_layers, encoder_parameters, last_layers
from train.pose_loss import pose_terms, total
from train.slow_teacher import SlowTeacher
from train.two_domains import target_part

SCHEDULE = Schedule(steps=6, learning_rate=1e-3, average_decay=0.5, save_every=6)
COMBINED = (*METHODS, "attention+pseudo_labels", "attention_lost+masked_consistency+l2sp")


def objective(network: nn.Module, name: str) -> Adaptation:
    method = read_method(name)
    return Adaptation(
        network,
        method,
        layers=last_layers(network),
        penalty_weights=dict.fromkeys(method.penalties, 1.0),
        teacher=SlowTeacher(network, SCHEDULE) if method.consistent else None,
    )


def moved(network: nn.Module, *, by: float = 0.02) -> nn.Module:
    random = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for value in network.parameters():
            value.add_(by * torch.randn(value.shape, generator=random))
    return network


def loss(name: str, batch: dict[str, Tensor], network: nn.Module | None = None) -> float:
    network = transformer() if network is None else network
    adaptation = objective(network, name)
    with torch.no_grad():
        return float(adaptation.total(adaptation.terms(moved(network), batch)))


def full(seed: int, *, target_3d: bool = False) -> dict[str, Tensor]:
    found = both(seed, target_3d=target_3d)
    return found | {"target_masked": found["target_input"] * 0.5}


@pytest.mark.parametrize("name", COMBINED)
def test_only_the_oracle_hears_the_truth_and_only_pseudo_labels_hear_2d(name: str) -> None:
    told, method = full(0, target_3d=name == "oracle"), read_method(name)
    lied = told | {"target_joints_px": told["target_joints_px"] * 0.9}
    hears_2d = method.pseudo_labels or method.target_truth
    assert (loss(name, told) != loss(name, lied)) == hears_2d
    lied = told | {"target_joints_m": told["target_joints_m"] * 0.9}
    assert (loss(name, told) != loss(name, lied)) == (name == "oracle")


@pytest.mark.parametrize("name", COMBINED)
def test_a_method_looks_at_target_pictures_only_if_it_says_so(name: str) -> None:
    seen, method = full(0), read_method(name)
    other = seen | {"target_input": full(7)["target_input"]}
    looks = method.distance or method.pseudo_labels or method.consistent or method.target_truth
    assert (loss(name, seen) != loss(name, other)) == bool(looks)
    other = seen | {"target_masked": full(7)["target_masked"]}
    assert (loss(name, seen) != loss(name, other)) == method.consistent


@pytest.mark.parametrize("name", COMBINED)
def test_every_term_has_a_weight_also_for_the_convolutional_student(name: str) -> None:
    torch.manual_seed(0)
    assert loss(name, full(0), Convolutions()) > 0


def test_plain_methods_are_nothing_but_the_pose_loss_on_the_source() -> None:
    batch, network = full(0), transformer()
    with torch.no_grad():
        wanted = float(total(pose_terms(moved(network)(batch["input"]), batch)))
    for name in ("source_only", "unregularised", "lp_ft"):
        assert loss(name, batch) == pytest.approx(wanted)


@pytest.mark.parametrize("name", [name for name in METHODS if METHODS[name].penalties])
def test_a_penalty_is_nothing_at_the_start_and_something_later(name: str) -> None:
    network = transformer()
    adaptation = objective(network, name)
    (penalty,) = METHODS[name].penalties
    with torch.no_grad():
        assert float(adaptation.terms(network, full(0))[penalty]) == pytest.approx(0, abs=1e-7)
        assert float(adaptation.terms(moved(network), full(0))[penalty]) > 1e-7


def test_the_anchor_is_half_the_squared_way_of_the_encoder_and_lets_the_head_go() -> None:
    network = transformer()
    adaptation = objective(network, "l2sp")
    with torch.no_grad():
        network.head.weight += 5
        assert float(adaptation.anchor(network)) == 0
        bias = network.encoder.patches.bias
        assert bias is not None
        bias += 0.1
        assert float(adaptation.anchor(network)) == pytest.approx(0.5 * 0.01 * len(bias))


def test_the_slow_teacher_is_the_average_that_the_loop_keeps(tmp_path: Path) -> None:
    network = transformer()
    teacher = SlowTeacher(network, SCHEDULE)

    def losses(module: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        teacher.follow(module)
        teacher.follow(module)  # twice for a step, as when gradients are accumulated
        return pose_terms(module(batch["input"]), batch)

    average = fit(network, stream, losses, total, SCHEDULE, tmp_path)  # type: ignore[arg-type]
    teacher.follow(network)
    slow = dict(teacher.network.named_parameters())
    for name, value in average.items():
        assert torch.allclose(slow[name], value, atol=1e-7)
        assert not torch.equal(network.get_parameter(name), value)


def test_methods_join_by_name_and_contradictions_are_refused() -> None:
    joined = read_method("attention+masked_consistency")
    assert joined.distance == "logits"
    assert joined.consistent
    assert joined.penalties == ("attention",)
    with pytest.raises(ConfigError, match="no adaptation method 'atention'; did you mean 'att"):
        read_method("atention")
    with pytest.raises(ConfigError, match="known: source_only"):
        read_method("zzz")
    with pytest.raises(ConfigError, match="two distances"):
        read_method("attention+attention_lost")
    with pytest.raises(ConfigError, match="name it alone"):
        read_method("oracle+attention")


def test_the_oracle_is_no_result() -> None:
    for name in set(METHODS) - {"oracle"}:
        require_selectable(name)
    with pytest.raises(ConfigError, match="target's true labels"):
        require_selectable("oracle")


def test_truth_is_not_taken_for_pseudo_labels() -> None:
    with pytest.raises(ConfigError, match="let a network label"):
        loss("pseudo_labels", full(0, target_3d=True))


def test_two_domains_come_apart_again() -> None:
    batch = both(3)
    assert torch.equal(target_part(batch)["input"], batch["target_input"])
    assert "target_input" not in target_part(batch)


def test_layers_count_from_the_last_and_the_head_is_no_encoder() -> None:
    network = transformer()
    assert last_layers(network) == all_layers(network) == chosen_layers(network, None) == (0, 1)
    assert chosen_layers(network, (-1,)) == (1,)
    assert chosen_layers(network, (1, -2, 0)) == (0, 1)
    with pytest.raises(ConfigError, match="no layer 2 in a network of 2; choose from -2 to 1"):
        chosen_layers(network, (0, 2))
    names = encoder_parameters(transformer())
    assert names
    assert not any(name.startswith("head") for name in names)
    assert {name.split(".")[0] for name in encoder_parameters(Convolutions())} == {"stem", "tower"}
