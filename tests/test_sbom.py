"""The bill of materials obeys its schema, and names everything that the appliance brings along."""

import json
import re
from pathlib import Path
from typing import Any, get_args

import pytest
import tomllib
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from edge_pose.bundle import open_bundle, packaged
from edge_pose.config import Tier
from export.sbom import main

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
SHARING_IS_DEMANDED = re.compile(r"\b[AL]?GPL|\bMPL|\bCC-BY-(?:NC|SA)")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("sbom") / "edge-pose.cdx.json"
    assert main([str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def bill(path: Path) -> Any:
    return json.loads(path.read_text())


def test_it_obeys_the_schema(path: Path) -> None:
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(path.read_text()) is None


def test_it_names_what_is_required_and_what_that_requires(bill: Any) -> None:
    named = {component["name"] for component in bill["components"]}
    required = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["opencv"]]
    here = {re.split(r"[\[<>=; ]", text)[0] for text in required if "python_version" not in text}
    assert here <= named
    assert "protobuf" in named, "ONNX Runtime's"
    assert not named & {"torch", "pytest", "onnx"}, "these do not ship"


def test_every_library_tells_a_licence_that_may_ship(bill: Any) -> None:
    libraries = [one for one in bill["components"] if one["type"] == "library"]
    for one in libraries:
        (told,) = one["licenses"]
        text = told.get("expression") or told["license"].get("id") or told["license"]["name"]
        free = [choice for choice in text.split(" OR ") if not SHARING_IS_DEMANDED.search(choice)]
        assert free, f"{one['name']}: {text}"


def test_everything_that_is_needed_is_described(bill: Any) -> None:
    described = {one["bom-ref"] for one in (bill["metadata"]["component"], *bill["components"])}
    for one in bill["dependencies"]:
        assert set(one.get("dependsOn", ())) <= described
    (root,) = [o for o in bill["dependencies"] if o["ref"].startswith("edge-pose@")]
    assert len(root["dependsOn"]) >= 5


def test_the_models_stand_in_it_file_by_file(bill: Any) -> None:
    models = {o["name"]: o for o in bill["components"] if o["type"] == "machine-learning-model"}
    shipped = [open_bundle(packaged(tier)).manifest for tier in get_args(Tier)]
    assert models.keys() == {manifest.name for manifest in shipped}
    for manifest in shipped:
        files = models[manifest.name]["components"]
        hashes = {one["name"]: one["hashes"][0]["content"] for one in files}
        assert hashes == dict(manifest.sha256)
