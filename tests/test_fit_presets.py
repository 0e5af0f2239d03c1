"""The table of presets is what the commands run with, unless an option says otherwise."""

import argparse

import pytest

from edge_pose.errors import ConfigError
from train.mim_run import NETWORKS
from train.presets import PRESETS, Effort, add_options, effort


def chosen(*words: str, stage: str = "adapt") -> Effort:
    parser = argparse.ArgumentParser()
    add_options(parser, stage)
    return effort(parser.parse_args(words), stage)


def test_a_preset_is_taken_whole_and_options_depart_from_it_one_by_one() -> None:
    tiny = chosen("--preset", "tiny")
    assert (tiny.steps, tiny.batch_size) == (PRESETS["tiny"].adapt.steps, 16)
    assert chosen().preset == PRESETS["cpu"]
    own = chosen("--preset", "gpu", "--steps", "7", "--workers", "0", "--precision", "float32")
    assert (own.steps, own.workers, own.precision) == (7, 0, "float32")
    assert own.batch_size == PRESETS["gpu"].adapt.batch_size


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_names_a_network_that_the_first_stage_can_train(name: str) -> None:
    assert PRESETS[name].network in NETWORKS


def test_half_the_batch_twice_is_the_same_recipe() -> None:
    whole = chosen("--batch-size", "32").options({})
    halves = chosen("--batch-size", "16", "--accumulate", "2").options({})
    alike = {"samples_a_step", "precision", "seed", "steps"}
    assert {key: whole.recipe[key] for key in alike} == {key: halves.recipe[key] for key in alike}
    assert halves.recipe["samples_a_step"] == 32
    assert halves.accumulate == 2


def test_a_batch_of_none_and_a_seed_below_zero_are_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        chosen("--batch-size", "0")
    assert "--batch-size: '0' is not a whole number from 1" in capsys.readouterr().err
    with pytest.raises(ConfigError, match=r"--seed is -1"):
        chosen("--seed", "-1")
