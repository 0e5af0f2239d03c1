"""Batches that several runs share, and networks that read what a stem made of pictures."""

import copy
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from edge_pose.bundle import open_bundle
from edge_pose.errors import ConfigError
from mim_folders import rendered_folder
from train import prepared
from train.ablation import VARIANTS, Variant
from train.begin import student_from, weights_of
from train.domains import Domain
from train.frozen_stem import OnnxStem, stand_in
from train.pose_data import RenderedPeople
from train.prepared import PreparedBatches, on_prepared
from train.presets import PRESETS, Effort
from train.report_results import DataSet
from train.stream import Batch
from train.student import PoseNet, on_frozen_stem
from train.supply import Supply
from train.workflow_stages import for_supply, new_network

SIDE_PX = 32


class Counting(nn.Module):
    """A stem that counts how many pictures it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = 0

    def forward(self, image: Tensor) -> list[Tensor]:
        """Average the picture down."""
        self.seen += len(image)
        return [nn.functional.avg_pool2d(image, 4)]


def numbered(first: int) -> Iterator[Batch]:
    """Batches whose pictures say which number they have."""
    for number in count(first):
        yield {
            "input": torch.full((2, 3, SIDE_PX, SIDE_PX), number / 256),
            "joints_m": torch.full((2, 25, 3), number / 3),
            "foreground": torch.zeros(2, SIDE_PX, SIDE_PX),
        }


def levels(batches: list[Batch]) -> list[float]:
    return [256 * float(batch["input"].mean()) for batch in batches]


def test_the_second_run_gets_what_the_first_had_and_the_stem_works_once() -> None:
    stem = Counting()
    shared = PreparedBatches(numbered, stem)
    first, second = list(islice(shared(0), 4)), list(islice(shared(0), 4))
    assert levels(first) == levels(second) == [0, 1, 2, 3]
    assert stem.seen == 8
    assert first[0]["input"].shape == (2, 3, 8, 8)
    assert first[0]["input"].dtype == torch.float32
    assert torch.equal(first[3]["joints_m"], torch.full((2, 25, 3), 1.0))
    assert "foreground" not in first[0]


def test_a_run_may_start_anywhere_and_go_on_beyond_what_others_had() -> None:
    shared = PreparedBatches(numbered, Counting())
    assert levels(list(islice(shared(3), 2))) == [3, 4]
    assert levels(list(islice(shared(0), 7))) == [0, 1, 2, 3, 4, 5, 6]
    assert levels(list(islice(shared(5), 3))) == [5, 6, 7]


def test_what_finds_no_room_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepared, "_ROOM_BYTES", {"cpu": 2000, "cuda": 2000})
    stem = Counting()
    shared = PreparedBatches(numbered, stem)
    for _ in range(2):
        assert levels(list(islice(shared(0), 3))) == [0, 1, 2]
    assert stem.seen == 2 * 3 * 2 - 2


@pytest.mark.slow
def test_onnx_runtime_and_torch_agree_on_the_stem_and_weights_are_shared(tmp_path: Path) -> None:
    """Slow: it exports the stem of the published network."""
    network = PoseNet("full").eval()
    image = torch.rand(2, 3, 256, 256)
    regressor = on_frozen_stem(network, tmp_path)
    assert isinstance(regressor.stem, OnnxStem)
    with torch.no_grad():
        torch.testing.assert_close(
            regressor.stem(image)[0], network.stem(image)[0], rtol=1e-3, atol=1e-3
        )
        whole, regressed = network(image), regressor(image)
        read = on_prepared(regressor)(regressor.stem(image)[0])
    torch.testing.assert_close(whole["joints_m"], regressed["joints_m"], rtol=1e-3, atol=1e-3)
    assert torch.equal(read["joints_px"], regressed["joints_px"])
    with torch.no_grad():
        on_prepared(regressor).head.weight.mul_(2)
    assert torch.equal(network.head.weight, regressor.head.weight)
    assert regressor.state_dict().keys() == network.state_dict().keys()
    copied = copy.deepcopy(regressor)
    assert copied.stem is regressor.stem
    assert copied.tower is not regressor.tower
    (made,) = tmp_path.iterdir()
    stand_in(network.stem, 256, tmp_path)
    assert list(tmp_path.iterdir()) == [made]


def test_a_student_begins_where_it_is_told(tmp_path: Path) -> None:
    shipped, published = student_from(open_bundle().folder), student_from(None)
    assert not torch.equal(shipped.head.weight, published.head.weight)
    named = weights_of(open_bundle().path_of("pose"))
    assert torch.equal(shipped.head.weight, named["head.weight"])
    with pytest.raises(ConfigError, match="to begin from; name the folder"):
        student_from(tmp_path / "nowhere")


def people_of(folder: Path, name: str) -> Domain:
    people = RenderedPeople(folder, with_foreground=True)
    data = DataSet(name=name, role="test", licence="", pictures=len(people))
    return Domain(name=name, people=people, has_3d=True, data=data, folders=(folder,))


@pytest.fixture
def domains(tmp_path: Path) -> tuple[Domain, Domain]:
    return (
        people_of(rendered_folder(tmp_path / "a", 4), "source"),
        people_of(rendered_folder(tmp_path / "b", 3), "target"),
    )


def supply(domains: tuple[Domain, Domain], stem: nn.Module | None) -> Supply:
    effort = Effort(
        preset=PRESETS["tiny"],
        steps=3,
        batch_size=3,
        accumulate=1,
        workers=0,
        precision="float32",
        seed=5,
        tensorboard=False,
    )
    return Supply(source=domains[0], target=domains[1], effort=effort, stem=stem)


@pytest.mark.parametrize("name", ["source_only", "attention+masked_consistency", "oracle"])
def test_prepared_batches_are_the_very_batches_gone_through_the_stem(
    domains: tuple[Domain, Domain], name: str
) -> None:
    stem = Counting()
    variant = VARIANTS[name]
    plain = list(islice(supply(domains, None).batches(variant)(1), 2))
    there = list(islice(supply(domains, stem).batches(variant)(1), 2))
    for one, other in zip(plain, there, strict=True):
        assert other.keys() >= {key for key in one if not key.endswith("foreground")}
        for key, value in one.items():
            if value.ndim == 4:
                torch.testing.assert_close(other[key], stem(value)[0], rtol=1e-3, atol=1e-3)
            elif not key.endswith("foreground"):
                assert torch.equal(value, other[key])


def test_only_who_is_promised_the_targets_labels_is_given_them(
    domains: tuple[Domain, Domain],
) -> None:
    feed = supply(domains, Counting())
    for name in ("attention", "masked_consistency", "oracle"):
        (batch,) = islice(feed.batches(VARIANTS[name])(0), 1)
        assert ("target_joints_m" in batch) == (name == "oracle")


def test_restyled_sources_differ_and_share_the_target(domains: tuple[Domain, Domain]) -> None:
    stem = Counting()
    feed = supply(domains, stem)
    (plain,) = islice(feed.batches(VARIANTS["attention"])(0), 1)
    before = stem.seen
    restyled = Variant(first=None, method="attention", restyled=True)
    (other,) = islice(feed.batches(restyled)(0), 1)
    assert stem.seen == before + 3
    assert torch.equal(plain["target_input"], other["target_input"])
    assert torch.equal(plain["joints_m"], other["joints_m"])
    assert not torch.equal(plain["input"], other["input"])


def test_a_transformer_reads_pictures_themselves(domains: tuple[Domain, Domain]) -> None:
    network = new_network("nano", None)
    assert for_supply(network, supply(domains, None)) is network
    with torch.no_grad():
        assert network(torch.rand(1, 3, 256, 256))["joints_m"].shape == (1, 25, 3)
