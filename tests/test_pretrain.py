"""The first stage: from folders to an encoder, through the command line."""

import argparse
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from edge_pose.errors import ConfigError
from mim_folders import labelled_folder, picture_folder, rendered_folder
from train.fit import averaged
from train.foreground_scenes import mark_of
from train.mim import VitMim
from train.mim_figure import ROWS
from train.mim_run import build
from train.presets import PRESETS, Effort
from train.pretrain import (
    PICTURE,
    REPORT,
    PretrainSettings,
    _scenes,
    load_mim,
    load_pretrained,
    pretrain,
    pretrained_network,
)
from train.pretrain_command import add_arguments, main
from train.vit import SIZES, Vit
from train.vit_pose import VitPose


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    base = tmp_path_factory.mktemp("folders")
    return rendered_folder(base / "rendered", 3), labelled_folder(base / "labelled", 4)


def settings(folders: tuple[Path, Path], **changes: Any) -> PretrainSettings:
    usual: dict[str, Any] = {"steps": 3, "batch_size": 4, "workers": 0, "accumulate": 1}
    usual |= {"precision": "float32", "seed": 0, "tensorboard": False}
    effort = Effort(
        preset=PRESETS["tiny"], **{name: changes.pop(name, usual[name]) for name in usual}
    )
    method = {"network": "nano"} | changes
    return PretrainSettings(source=folders[:1], target=folders[1:], effort=effort, **method)


def test_a_run_leaves_an_encoder_a_report_and_a_picture(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    found = pretrain(settings(folders), tmp_path)
    assert json.loads((tmp_path / REPORT).read_text()) == found
    assert found["images_per_s"] > 0
    # Twelve products of the width squared a token and block, two of all pairs, patches in and out;
    # two operations each; backward twice as much, except that no picture gets a gradient.
    products = 4 * (12 * 96**2 * 64 + 2 * 64**2 * 96) + 2 * 768 * 96 * 64
    flops = 3 * 2 * products - 2 * 768 * 96 * 64
    assert found["gflop_per_image"] == pytest.approx(flops / 1e9)
    # At first a guess is about as wrong as guessing the mean: the spread of normalised pixels is 1.
    assert 0.3 < found["source_error"] < 2
    assert 0.3 < found["target_error"] < 2
    picture = cv2.imread(str(tmp_path / PICTURE))
    assert picture is not None
    assert picture.shape == ((128 + 2) * len(ROWS), 96 + 4 * (128 + 2), 3)
    assert pretrained_network(tmp_path) == "nano"
    encoder = Vit(SIZES["nano"])
    encoder.load_state_dict(load_pretrained(tmp_path))
    network = VitPose(SIZES["nano"])
    network.encoder.load_state_dict(load_pretrained(tmp_path))
    again = load_mim(tmp_path)
    assert not again.training
    image = torch.rand(1, 3, 128, 128)
    assert isinstance(again, VitMim)
    with torch.no_grad():
        torch.testing.assert_close(encoder(image).tokens, again.encoder(image).tokens)
    start = build(settings(folders).words()).encoder.state_dict()
    assert any(not torch.equal(start[name], value) for name, value in encoder.state_dict().items())


def test_the_same_settings_give_the_same_run_and_others_are_refused(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    for name in ("one", "other"):
        pretrain(settings(folders, steps=2), tmp_path / name)
    one, other = averaged(tmp_path / "one"), averaged(tmp_path / "other")
    assert one.keys() == other.keys()
    assert all(torch.equal(other[name], value) for name, value in one.items())
    report = (tmp_path / "one" / REPORT).read_text()
    pretrain(settings(folders, steps=2), tmp_path / "one")  # done already: nothing is measured anew
    assert (tmp_path / "one" / REPORT).read_text() == report
    with pytest.raises(ConfigError, match="recipe = patches"):
        pretrain(settings(folders, steps=2, recipe="periphery"), tmp_path / "one")


@pytest.mark.parametrize(
    "changes",
    [
        {"sight": "visible", "decoder_depth": 1, "recipe": "patches(0.75)"},
        {"recipe": "crop(0.3, 1) + periphery(0.8, at=joint) + opacity(0.3)", "paste": 0.5},
        {"recipe": "fixations(0.85)", "pixels": "raw", "crops": "plain", "decoder_depth": 1},
        {"recipe": "tubes(0.8)", "frames": 2, "background_weight": 0.0},
    ],
)
def test_every_way_of_hiding_can_be_trained(
    folders: tuple[Path, Path], tmp_path: Path, changes: dict[str, Any]
) -> None:
    found = pretrain(settings(folders, steps=1, **changes), tmp_path)
    assert np.isfinite(list(found.values())).all()


def test_the_network_learns_what_its_folders_have_in_common(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    before = pretrain(settings(folders, steps=1), tmp_path / "before")
    after = pretrain(
        settings(folders, steps=40, batch_size=8, learning_rate=2e-3), tmp_path / "after"
    )
    assert after["source_error"] < 0.9 * before["source_error"]


def test_wrong_masks_change_what_is_weighed_and_masks_left_out_are_not_used(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    whole = settings(folders, steps=1, wrong_masks=0.0)
    rng = np.random.default_rng(0)
    as_told = _scenes(whole.source, whole).clip(rng, 1)[0].foreground
    spoiled = settings(folders, steps=1, wrong_masks=1.0)
    wrong = _scenes(spoiled.source, spoiled).clip(np.random.default_rng(0), 1)[0].foreground
    assert as_told is not None
    assert wrong is not None
    assert not np.array_equal(as_told, wrong)
    person = _scenes(whole.source, whole).clip(np.random.default_rng(0), 1)[0]
    qualities = {"masks": {"one": {"mark": mark_of(person.box_px, person.joints_px)}}}
    listed = tmp_path / "foreground.json"
    listed.write_text(json.dumps({**qualities, "left_out": ["one"]}))
    sifted = settings(folders, steps=1, foreground=listed)
    assert _scenes(sifted.source, sifted).clip(np.random.default_rng(0), 1)[0].foreground is None
    with pytest.raises(ConfigError, match="give 0 to 1"):
        pretrain(settings(folders, steps=1, wrong_masks=2.0), tmp_path / "run")


@pytest.mark.slow
def test_the_student_is_pretrained_too(folders: tuple[Path, Path], tmp_path: Path) -> None:
    """Slow: it starts from published weights and works on full-size pictures."""
    pretrain(settings(folders, network="student", steps=1, batch_size=2), tmp_path)
    learned = load_pretrained(tmp_path)
    assert learned
    assert all(name.startswith(("stem.", "tower.")) for name in learned)
    again = load_mim(tmp_path).encoder
    assert again.load_state_dict(learned, strict=False).unexpected_keys == []


def test_the_command_reads_its_options(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    plain = picture_folder(tmp_path / "plain", 2)
    words = f"--source {folders[0]} --target {folders[1]} {plain} --out {tmp_path / 'run'}"
    more = "--preset tiny --sight visible --w-bg 0.1 --steps 1 --batch-size 2 --workers 0"
    main(parser.parse_args([*words.split(), *more.split(), "--recipe", "people first"]))
    assert "images/s" in capsys.readouterr().out
    recipe = json.loads((tmp_path / "run" / "recipe.json").read_text())
    assert recipe["background_weight"] == "0.1"
    assert recipe["decoder_depth"] == "2"
    assert recipe["recipe"] == "people first"
    assert recipe["network"] == "nano"
    assert recipe["target"] == f"{folders[1]} {plain}"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"network": "huge"}, "nobody knows the network 'huge'"),
        ({"background_weight": 1.5}, "go from 0 to 1"),
        ({"network": "student", "sight": "visible"}, "--sight filled"),
        ({"frames": 0}, "at least 1 frame"),
        ({"batch_size": 3}, "need a multiple of 2"),
        ({"recipe": "pathces(0.5)"}, "did you mean 'patches'"),
        ({"recipe": "periphery", "sight": "visible", "decoder_depth": 1}, "--sight filled"),
        ({"sight": "visible"}, "depth of at least 1"),
    ],
)
def test_what_cannot_work_is_said_in_a_sentence(
    folders: tuple[Path, Path], tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        pretrain(settings(folders, **changes), tmp_path)


def test_a_folder_that_holds_another_run_is_not_taken_for_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no run of the first stage"):
        load_mim(tmp_path)
