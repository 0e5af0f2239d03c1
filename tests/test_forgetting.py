"""The meter subtracts the best of the past, keeps what it read, and stops whoever forgets."""

import json
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from edge_pose.errors import EXIT_OPERATOR, ConfigError
from tiny_poses import TINY, Convolutions, batch, transformer
from train.domain_errors import errors_of, reading_of
from train.drift import Probe, attention_drift, reconstruction_error
from train.forgetting import DomainError, Drift, ForgettingMeter, ForgotTooMuch
from train.mim import VitMim, target_patches
from train.vit import fit_size


def off(mm: float | None, crop_percent: float = 2.0) -> DomainError:
    return DomainError(crop_percent=crop_percent, mm=mm)


def test_forgetting_is_the_error_now_minus_the_least_before(tmp_path: Path) -> None:
    meter = ForgettingMeter(tmp_path / "meter.jsonl")
    first = meter.add("source", {"source": off(50.0)})
    assert first.forgotten_mm == {}
    meter.add("line-7", {"source": off(47.0), "line-7": off(80.0)})
    last = meter.add("line-8", {"source": off(55.0), "line-7": off(70.0), "line-8": off(90.0)})
    assert last.forgotten_mm == pytest.approx({"source": 8.0, "line-7": -10.0})


def test_a_domain_without_3d_is_measured_in_the_picture(tmp_path: Path) -> None:
    meter = ForgettingMeter(tmp_path / "meter.jsonl", bound_mm=1.0)
    meter.add("source", {"desk": off(None, 3.0)})
    reading = meter.add("line-7", {"desk": off(None, 4.5)})
    assert reading.forgotten_mm == {}
    assert reading.forgotten_crop_percent == pytest.approx({"desk": 1.5})


def test_the_bound_stops_after_the_reading_is_safe_and_a_wider_one_lets_it_go_on(
    tmp_path: Path,
) -> None:
    path = tmp_path / "run" / "meter.jsonl"
    meter = ForgettingMeter(path, bound_mm=10.0)
    meter.add("source", {"source": off(50.0)})
    meter.add("line-7", {"source": off(60.0)})
    with pytest.raises(
        ForgotTooMuch,
        match=r"stage line-8 forgot 12\.5 mm of source \(50\.0 mm before, 62\.5 mm now\), allowed "
        r"are 10\.0 mm; keep the network of the stage before",
    ) as stopped:
        meter.add("line-8", {"source": off(62.5)})
    assert stopped.value.exit_code == EXIT_OPERATOR
    again = ForgettingMeter(path, bound_mm=20.0)
    assert [reading.stage for reading in again.readings] == ["source", "line-7", "line-8"]
    assert again.add("line-8", {"source": off(62.5)}).forgotten_mm == {"source": 12.5}
    assert len(path.read_text().splitlines()) == 3


def test_readings_are_the_same_when_read_again(tmp_path: Path) -> None:
    path = tmp_path / "meter.jsonl"
    drift = Drift(
        row_divergence_nats=0.1,
        rollout_overlap=0.8,
        foreground_mass=None,
        foreground_mass_before=None,
    )
    meter = ForgettingMeter(path)
    meter.add("source", {"source": off(50.0)}, drift=drift, reconstruction=0.4)
    meter.add("line-7", {"source": off(51.0), "desk": off(None)})
    assert ForgettingMeter(path).readings == meter.readings
    assert json.loads(path.read_text().splitlines()[1])["forgotten_mm"] == {"source": 1.0}
    path.write_text('{"stage": "source"}\n')
    with pytest.raises(ConfigError, match=r"meter\.jsonl:1 is not a reading .*measure again"):
        ForgettingMeter(path)


class Shifted(nn.Module):
    """Says where the joints are, 3 pixels to the right and 4 down, and 20 mm too deep."""

    def __init__(self, truth: dict[str, Tensor]) -> None:
        super().__init__()
        self.truth = truth
        self.unused = nn.Linear(1, 1)

    def forward(self, _image: Tensor) -> dict[str, Tensor]:
        """Ignore the picture."""
        assert not self.training
        joints_m = self.truth["joints_m"].clone()
        joints_m[:, 0, 2] += 0.05  # the nose
        return {
            "joints_px": self.truth["joints_px"] + torch.tensor([3.0, 4.0]),
            "joints_m": joints_m + 7,  # root-aligned away
        }


def test_the_error_of_a_domain_is_what_was_added() -> None:
    truth = batch(0)
    network = Shifted(truth).train()
    found = reading_of(errors_of(network, [truth]))
    assert network.training
    assert found.crop_percent == pytest.approx(5 / 256 * 100)
    assert found.mm == pytest.approx(50 / 25, rel=1e-3)
    flat = truth | {"has_3d": torch.zeros(4, dtype=torch.bool)}
    assert reading_of(errors_of(network, [flat])).mm is None
    with pytest.raises(ConfigError, match="holds no people"):
        errors_of(network, [])


def test_a_network_has_not_drifted_from_itself() -> None:
    picture = batch(1, 20)["input"]
    half = torch.zeros(20, 256, 256)
    half[:, :128] = 1
    network = transformer()
    found = attention_drift(network, network, Probe(image=picture, foreground=half))
    assert found.row_divergence_nats == pytest.approx(0, abs=1e-6)
    assert found.rollout_overlap == 1
    assert found.foreground_mass == found.foreground_mass_before
    assert found.foreground_mass == pytest.approx(0.5, abs=0.1)


def test_attention_that_moved_to_one_place_is_seen_by_every_measure() -> None:
    before, now = transformer(), transformer()
    everywhere, corner = torch.ones(3, 256, 256), torch.zeros(3, 256, 256)
    corner[:, :64, :64] = 1
    image = torch.zeros(3, 3, 256, 256)
    image[:, :, :64, :64] = 1
    with torch.no_grad():
        for block in now.encoder.blocks:
            block.attention.qkv.weight[:48].mul_(6)  # type: ignore[union-attr,index]
    drift = attention_drift(before, now, Probe(image=image, foreground=corner))
    assert 0.01 < drift.row_divergence_nats < math.log(2)
    assert drift.rollout_overlap < 1
    assert drift.foreground_mass != drift.foreground_mass_before
    everything = attention_drift(before, now, Probe(image=image, foreground=everywhere))
    assert everything.foreground_mass == pytest.approx(1)


def test_drift_weighs_pictures_equally_however_they_are_cut_and_knows_convolutions() -> None:
    torch.manual_seed(0)
    before, now = Convolutions(), Convolutions()
    picture = batch(2, 20)["input"]
    whole = attention_drift(before, now, Probe(image=picture))
    first, last = (attention_drift(before, now, Probe(image=picture[cut])) for cut in PARTS)
    assert whole.foreground_mass is None
    assert whole.row_divergence_nats > 0
    assert whole.row_divergence_nats == pytest.approx(
        (first.row_divergence_nats * 12 + last.row_divergence_nats * 8) / 20, rel=1e-4
    )


PARTS = (slice(0, 12), slice(12, 20))


def test_the_frozen_decoder_reads_the_encoder_of_the_network_that_is_asked_about() -> None:
    torch.manual_seed(0)
    mim = VitMim(TINY, sight="filled", decoder_depth=0)
    before = {name: value.clone() for name, value in mim.state_dict().items()}
    picture = torch.rand(3, 3, 256, 256)
    probe = {
        "input": picture,
        "hidden": torch.zeros(3, 64, 64),
        "counted": torch.ones(3, 64, 64),
        "foreground": torch.zeros(3, 256, 256),
        "has_foreground": torch.zeros(3, dtype=torch.bool),
    }
    network = transformer(5)
    found = reconstruction_error(mim, network, [probe, probe], opacity=1.0, target="raw")
    with torch.no_grad():
        guess = mim.decoder(network.encode(picture).tokens)
        truth = target_patches(fit_size(picture, TINY.input_px), TINY.patch_px, "raw")
    assert found == pytest.approx(float((guess - truth).square().mean()), rel=1e-5)
    assert all(torch.equal(value, before[name]) for name, value in mim.state_dict().items())
