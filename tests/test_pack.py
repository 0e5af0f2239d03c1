"""The gate lets through what obeys the contract and nothing else."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from bundles import MEAN, STD, detector_network, make_bundle, pose_network
from edge_pose.bundle import Bundle, open_bundle
from edge_pose.errors import EXIT_OPERATOR
from edge_pose.runtime import network_for, offered
from export.__main__ import main
from export.half import halved
from mim_folders import rendered_folder
from pages import ROOT, blocks_of, commands_in
from train.detector_data import DetectorBatches, RenderedScenes

SURE = 0.5
HALF_OF_ALL_GREYS = 128


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    """Write what training leaves behind; give the command line that packs it."""
    onnx.save(pose_network(), tmp_path / "pose.onnx")
    onnx.save(detector_network(), tmp_path / "detector.onnx")
    (tmp_path / "card.md").write_text("# Card\n", encoding="utf-8")
    (tmp_path / "metrics.json").write_text('{"mpjpe_mm": 61.5}', encoding="utf-8")
    provenance = {
        "commit": "abc",
        "stages": ["synth", "distil"],
        "data": [{"name": "our own", "licence": "CC0"}],
        "details": {"seed": 7},
    }
    (tmp_path / "provenance.json").write_text(json.dumps(provenance), encoding="utf-8")
    random = np.random.default_rng(0)
    np.savez(
        tmp_path / "golden.npz",
        allow_pickle=False,
        pose=random.integers(0, 255, (2, 256, 256, 3), np.uint8),
        detector=random.integers(0, 255, (1, 192, 192, 3), np.uint8),
    )
    names = (
        "pose.onnx",
        "detector.onnx",
        "card.md",
        "metrics.json",
        "provenance.json",
    )
    files = [word for name in names for word in (f"--{Path(name).stem}", str(tmp_path / name))]
    colours = [
        word
        for label in ("pose", "detector")
        for kind, numbers in (("mean", MEAN), ("std", STD))
        for word in (f"--{label}-{kind}", *map(str, numbers))
    ]
    return [
        "pack",
        *files,
        *colours,
        *("--golden", str(tmp_path / "golden.npz"), "--name", "tiny", "--version", "1.2.3"),
        *("--pad-value", "114", "--out", str(tmp_path / "out")),
    ]


def test_a_bundle_is_packed_from_the_command_line(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 0
    assert "tiny 1.2.3" in capsys.readouterr().out
    manifest = open_bundle(tmp_path / "out").manifest
    assert manifest.networks.detector.pad_value == 114.0
    assert manifest.networks.pose.input.mean == MEAN
    assert manifest.networks.pose.input.shape == ("batch", 3, 256, 256)
    assert manifest.provenance.data[0].licence == "CC0"
    assert manifest.metrics == {"mpjpe_mm": 61.5}
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "card.md",
        "detector.onnx",
        "golden.npz",
        "manifest.json",
        "pose.onnx",
    ]


@pytest.fixture
def packed_by_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bundle:
    """Run the command of docs/training.md, which gives required options only, on what ships."""
    page = (ROOT / "docs" / "training.md").read_text("utf-8")
    (command,) = (words for words in commands_in(page) if words[2:4] == ["export", "pack"])
    monkeypatch.chdir(tmp_path)
    ships = open_bundle()
    graph = Path("work/graph")
    graph.mkdir(parents=True)
    for label in ("pose", "detector"):
        shutil.copyfile(ships.path_of(label), graph / f"{label}.onnx")
    with np.load(ships.golden_path) as golden:
        pictures = {label: golden[f"{label}.images"] for label in ("pose", "detector")}
    np.savez(graph / "golden.npz", allow_pickle=False, **pictures)
    Path("work/figures.json").write_text('{"rendered other-report": {"people": 500}}')
    Path("work/card.md").write_text("# Card\n")
    (provenance,) = (text for text in blocks_of(page, "json") if "licence" in text)
    Path("work/provenance.json").write_text(provenance)
    assert main(command[3:]) == 0
    return open_bundle(Path("work/bundle"))


def test_the_command_of_the_page_packs_networks_that_see_what_they_were_trained_on(
    packed_by_the_page: Bundle,
) -> None:
    ships = open_bundle()
    assert packed_by_the_page.manifest.networks == ships.manifest.networks
    with np.load(packed_by_the_page.golden_path) as found, np.load(ships.golden_path) as wanted:
        for picture in found["detector.scores"]:
            assert picture.max() > SURE
        for name in ("detector.scores", "pose.joints_px"):
            np.testing.assert_allclose(found[name], wanted[name], atol=1e-3)


def test_training_shows_the_detector_bytes_as_a_packed_one_is_shown_them(
    packed_by_the_page: Bundle, tmp_path: Path
) -> None:
    shown = packed_by_the_page.manifest.networks.detector.input
    scenes = RenderedScenes(rendered_folder(tmp_path / "people", 3))
    batch = next(iter(DetectorBatches([scenes], batch_size=4, seed=0)))
    mean, std = (torch.tensor(value)[:, None, None] for value in (shown.mean, shown.std))
    grey = (batch["input"] * std + mean) * 255
    torch.testing.assert_close(grey, grey.round().clamp(0, 255), atol=1e-3, rtol=0)
    assert grey.max() - grey.min() > HALF_OF_ALL_GREYS


def test_other_forms_go_along_when_they_answer_within_their_tolerance(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    onnx.save(halved(pose_network()), tmp_path / "half.onnx")
    form = ["--form", f"pose.fp16={tmp_path / 'half.onnx'}"]
    assert main([*words, *form]) == EXIT_OPERATOR
    assert "states no tolerance for fp16" in capsys.readouterr().err
    assert main([*words, *form, "--tolerance", "fp16=1,10"]) == 0
    bundle = open_bundle(tmp_path / "out")
    assert offered(bundle) == ("fp16", "fp32")
    assert network_for(bundle, "pose", "fp16") == tmp_path / "out" / "pose.fp16.onnx"
    assert network_for(bundle, "detector", "fp16") == tmp_path / "out" / "detector.onnx"

    damaged = halved(pose_network())
    for array in damaged.graph.initializer:
        if array.name.startswith("body_m"):
            values = numpy_helper.to_array(array)
            moved = (values + 0.05).astype(values.dtype)
            array.CopyFrom(numpy_helper.from_array(moved, array.name))
    onnx.save(damaged, tmp_path / "half.onnx")
    assert main([*words, *form, "--tolerance", "fp16=1,10"]) == EXIT_OPERATOR
    assert "golden pictures" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "word"),
    [("--form", "pose.fp64=x"), ("--form", "hand.fp16=x"), ("--tolerance", "fp16=1")],
)
def test_a_form_or_tolerance_written_wrong_is_refused_with_how_to_write_it(
    words: list[str], capsys: pytest.CaptureFixture[str], option: str, word: str
) -> None:
    with pytest.raises(SystemExit):
        main([*words, option, word])
    assert "write" in capsys.readouterr().err


def test_packing_twice_gives_the_same_bundle(tmp_path: Path) -> None:
    first, second = make_bundle(tmp_path / "a"), make_bundle(tmp_path / "b")
    assert (first / "manifest.json").read_text() == (second / "manifest.json").read_text()


def rename_output(network: onnx.ModelProto) -> None:
    network.graph.output[0].name = "columns_or_far"


def poison(network: onnx.ModelProto) -> None:
    for constant in network.graph.initializer:
        if constant.name == "body_m":
            values = numpy_helper.to_array(constant).copy()
            values[0, 3, 1] = np.nan
            constant.CopyFrom(numpy_helper.from_array(values, "body_m"))


def widen(network: onnx.ModelProto) -> None:
    for name, axis in (("body_m", 1), ("unit_body", 1), ("joint_scores", 1)):
        for constant in network.graph.initializer:
            if constant.name == name:
                values = numpy_helper.to_array(constant)
                longer = np.concatenate([values, values[:, :1]], axis=axis)
                constant.CopyFrom(numpy_helper.from_array(longer, name))
    for output in network.graph.output:
        if len(output.type.tensor_type.shape.dim) > 1:
            output.type.tensor_type.shape.dim[1].dim_value = 26


def rename_input(network: onnx.ModelProto) -> None:
    network.graph.input[0].name = "picture"
    for node in network.graph.node:
        for index, name in enumerate(node.input):
            if name == "image":
                node.input[index] = "picture"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (rename_output, "wanted ['joints_m', 'joints_px', 'presence', 'reach_px', 'scores']"),
        (poison, "gives joints_m that is not finite"),
        (widen, "gives joints_px of shape ['batch', 26, 2], wanted ['batch', 25, 2]"),
        (rename_input, "wanted one input named 'image'"),
    ],
)
def test_a_network_that_breaks_the_contract_is_refused(
    words: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: Callable[[onnx.ModelProto], None],
    said: str,
) -> None:
    network = pose_network()
    change(network)
    onnx.save(network, tmp_path / "pose.onnx")
    assert main(words) == EXIT_OPERATOR
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_golden_pictures_of_another_size_are_refused(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(
        tmp_path / "golden.npz",
        allow_pickle=False,
        pose=np.zeros((1, 192, 192, 3), np.uint8),
        detector=np.zeros((1, 192, 192, 3), np.uint8),
    )
    assert main(words) == EXIT_OPERATOR
    assert "wanted at least one of 256 by 256 pixels" in capsys.readouterr().err


def test_provenance_without_licences_is_refused(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    provenance = {"commit": "abc", "stages": [], "data": [{"name": "web"}], "details": {}}
    (tmp_path / "provenance.json").write_text(json.dumps(provenance), encoding="utf-8")
    assert main(words) == EXIT_OPERATOR
    assert "data lacks licence" in capsys.readouterr().err
