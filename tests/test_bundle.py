"""A bundle is believed when its manifest is strict, its hashes hold and its pictures come out."""

import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from bundles import make_bundle
from edge_pose.bundle import MANIFEST, Bundle, open_bundle, packaged, sha256_of
from edge_pose.engines import Engine, Engines
from edge_pose.engines.onnx import OnnxEngine
from edge_pose.errors import EXIT_OPERATOR, BundleError
from edge_pose.golden import check_golden
from edge_pose.manifest import OUTPUTS, read_manifest
from edge_pose.skeleton import JOINTS

GIVEN = re.compile(r"^\|[^|]*\| `(\w+)` \| float32 \[([^\]]+)\] \|", re.MULTILINE)
"""A row of the table in docs/bundle.md: an array and its shape."""


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("stand-in"))


@pytest.fixture
def folder(packed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(packed, tmp_path / "bundle"))


@pytest.fixture(scope="module")
def engines(packed: Path) -> Iterator[Engines]:
    bundle = open_bundle(packed)
    with ExitStack() as stack:
        detector, pose = (
            stack.enter_context(closing(OnnxEngine(bundle.path_of(label), threads=1)))
            for label in ("detector", "pose")
        )
        yield Engines(detector=detector, pose=pose)


def edit(folder: Path, change: Callable[[dict[str, object]], object]) -> None:
    table = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    change(table)
    (folder / MANIFEST).write_text(json.dumps(table), encoding="utf-8")


def test_a_packed_bundle_opens(folder: Path) -> None:
    bundle = open_bundle(folder)
    assert bundle.manifest.name == "stand-in"
    assert bundle.manifest.skeleton.joints == JOINTS
    assert bundle.manifest.networks.pose.batch is None
    assert bundle.manifest.networks.detector.batch == 1
    assert bundle.manifest.networks.detector.pad_value == 0.0
    assert bundle.manifest.networks.pose.width_px == 256
    assert bundle.path_of("pose").name == "pose.onnx"


def test_without_a_path_the_bundle_inside_the_package_is_meant() -> None:
    assert packaged().parts[-3:] == ("edge_pose", "models", "fast")


def test_the_page_tells_every_array_that_a_network_gives() -> None:
    page = (Path(__file__).resolve().parents[1] / "docs" / "bundle.md").read_text("utf-8")
    told = [(name, shape) for name, shape in GIVEN.findall(page) if name != "image"]
    given = [item for outputs in OUTPUTS.values() for item in outputs.items()]
    assert sorted(told) == sorted((name, ", ".join(map(str, shape))) for name, shape in given)


@pytest.mark.parametrize("name", ["pose.onnx", "detector.onnx", "golden.npz", "card.md"])
def test_one_changed_byte_is_noticed(folder: Path, name: str) -> None:
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(data)
    with pytest.raises(BundleError, match=rf"{name} has sha256 .* copy the bundle again") as caught:
        open_bundle(folder)
    assert caught.value.exit_code == EXIT_OPERATOR


def test_a_missing_file_and_a_missing_folder_are_named(folder: Path, tmp_path: Path) -> None:
    (folder / "pose.onnx").unlink()
    with pytest.raises(BundleError, match=r"pose\.onnx cannot be read"):
        open_bundle(folder)
    with pytest.raises(BundleError, match=r"nowhere/manifest\.json cannot be read"):
        open_bundle(tmp_path / "nowhere")
    (folder / MANIFEST).write_text("{", encoding="utf-8")
    with pytest.raises(BundleError, match="is not JSON"):
        open_bundle(folder)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda table: table.update(schema=1), "has schema 1, this appliance reads 3"),
        (lambda table: table.update(verson="1"), "unknown key 'verson'; did you mean 'version'"),
        (lambda table: table.pop("version"), "lacks version"),
        (lambda table: table.update(version=3), "version is 3, wanted str"),
        (lambda table: table["crop"].update(kind="tall"), "wanted kind 'body'"),
        (lambda table: table["crop"].update(padding=True), "padding is True, wanted float"),
        (lambda table: table["crop"].pop("padding"), "crop lacks padding"),
        (lambda table: table["skeleton"]["joints"].reverse(), "this appliance 'edge-body-25'"),
        (lambda table: table["networks"]["pose"]["outputs"].pop("scores"), "pose gives"),
        (lambda table: table["networks"]["pose"].update(pad_value=1.0), "pad_value belongs"),
        (lambda table: table["networks"]["pose"]["input"].update(colour="BGR"), "float32 RGB"),
        (lambda table: table["networks"]["pose"]["input"].update(std=[1, 0, 1]), "std above 0"),
        (lambda table: table["networks"]["pose"]["input"].update(shape=[4, 3, 9, 9]), "shape"),
        (lambda table: table["sha256"].pop("golden.npz"), "states no sha256 for golden.npz"),
        (lambda table: table["sha256"].update({"../x": "0"}), "wanted a file inside"),
        (lambda table: table.update(sha256=[]), r"sha256 is \[\]"),
    ],
)
def test_a_manifest_that_is_not_to_the_letter_is_refused(
    folder: Path, change: Callable[[dict[str, object]], object], said: str
) -> None:
    edit(folder, change)
    with pytest.raises(BundleError, match=said):
        open_bundle(folder)


def test_a_manifest_that_is_no_object_is_refused() -> None:
    with pytest.raises(BundleError, match="is list, wanted an object"):
        read_manifest([], where="manifest.json")


def test_the_golden_pictures_come_out(packed: Path, engines: Engines) -> None:
    found = check_golden(open_bundle(packed), engines)
    assert found.px < 1e-3
    assert found.mm < 1e-3


@dataclass
class Crooked:
    """An engine that answers a little beside the truth, as a bad runtime would."""

    engine: Engine
    output: str
    shift: float
    description: str = "crooked runtime"
    at_once: int = 2

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Shift one output."""
        outputs = self.engine.run(inputs)
        return {**outputs, self.output: outputs[self.output] + np.float32(self.shift)}

    def close(self) -> None:
        """Nothing to give back."""


@pytest.mark.parametrize(
    ("output", "shift", "refused"),
    [
        ("joints_px", 0.4, False),
        ("joints_px", 0.6, True),
        ("joints_m", 0.001, False),
        ("joints_m", 0.003, True),
        ("scores", 0.1, True),
        ("presence", float("nan"), True),
    ],
)
def test_a_runtime_that_deviates_is_refused_in_pixels_and_millimetres(
    packed: Path, engines: Engines, output: str, shift: float, *, refused: bool
) -> None:
    crooked = replace(engines, pose=Crooked(engines.pose, output, shift))
    bundle = open_bundle(packed)
    if refused:
        with pytest.raises(BundleError, match=r"golden pictures .* crooked runtime, allowed are"):
            check_golden(bundle, crooked)
    else:
        check_golden(bundle, crooked)


def test_boxes_that_nobody_believes_may_differ_and_others_may_not(
    packed: Path, engines: Engines
) -> None:
    bundle = open_bundle(packed)
    crooked = replace(engines, detector=Crooked(engines.detector, "boxes_px", 5.0))
    with pytest.raises(BundleError, match=r"come out 5\.00 px"):
        check_golden(bundle, crooked)


def test_a_precision_without_a_tolerance_is_refused(packed: Path, engines: Engines) -> None:
    with pytest.raises(BundleError, match="no tolerance for int8, only for fp32"):
        check_golden(open_bundle(packed), engines, precision="int8")


def test_golden_arrays_must_all_be_there(folder: Path, engines: Engines) -> None:
    bundle = open_bundle(folder)
    with np.load(folder / "golden.npz") as stored:
        fewer = {name: array for name, array in stored.items() if name != "pose.scores"}
    np.savez(folder / "golden.npz", allow_pickle=False, **fewer)
    hashes = {**bundle.manifest.sha256, "golden.npz": sha256_of(folder / "golden.npz")}
    edit(
        folder,
        lambda table: table.update(sha256=hashes),
    )
    with pytest.raises(BundleError, match=r"lacks pose\.scores"):
        check_golden(bundle, engines)


def test_an_open_bundle_knows_its_files(folder: Path) -> None:
    bundle: Bundle = open_bundle(folder)
    assert bundle.golden_path.is_file()
    assert all(bundle.path_of(label).is_file() for label in OUTPUTS)
