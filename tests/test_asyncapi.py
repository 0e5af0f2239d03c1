"""The AsyncAPI document is whole, says what the schemas say, and passes its makers' parser."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from edge_pose.message import encode
from edge_pose.schema.asyncapi import document
from test_message import examples

PUBLISHED = Path(__file__).resolve().parents[1] / "schemas" / "asyncapi.json"
PARSER = "@asyncapi/parser@3.6.6"
PARSE = """
import { Parser } from "@asyncapi/parser";
import fs from "fs";
const text = fs.readFileSync("asyncapi.json", "utf8");
const { document, diagnostics } = await new Parser().parse(text);
for (const found of diagnostics.filter((one) => one.severity < 2))
    console.log(found.message, found.path.join("."));
console.log(document ? document.channels().all().length : "no document");
"""


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"]
        for item in value.values():
            yield from references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


def test_the_published_document_is_the_one_the_types_give() -> None:
    """Renew with `python -m edge_pose.schema schemas`."""
    assert json.loads(PUBLISHED.read_text()) == document()


def test_every_reference_leads_somewhere() -> None:
    found = list(references(document()))
    assert len(found) > 20
    for reference in found:
        place: Any = document()
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]


def test_every_parameter_of_an_address_is_explained() -> None:
    for channel in document()["channels"].values():
        named = {part[1:-1] for part in channel["address"].split("/") if part.startswith("{")}
        assert named == set(channel["parameters"])


@pytest.mark.parametrize("name", sorted(examples()))
def test_messages_obey_the_schema_in_the_older_dialect_too(name: str) -> None:
    sent = json.loads(encode(examples()[name]))
    payloads = [
        message["payload"]["schema"]
        for message in document()["components"]["messages"].values()
        if message.get("title") == name
    ]
    assert payloads
    for payload in payloads:
        Draft7Validator.check_schema(payload)
        Draft7Validator(payload).validate(sent)


def test_the_older_dialect_still_counts_the_numbers_of_a_joint() -> None:
    frame = json.loads(encode(examples()["frame"]))
    frame["persons"][0]["kp"][3].append(0.0)
    payload = document()["components"]["messages"]["pose"]["payload"]["schema"]
    assert not Draft7Validator(payload).is_valid(frame)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("npm") is None, reason="needs npm")
def test_the_official_parser_finds_nothing_wrong(tmp_path: Path) -> None:
    install = subprocess.run(
        ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", PARSER],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    if install.returncode != 0:
        pytest.skip("npm cannot install the parser here")
    shutil.copy(PUBLISHED, tmp_path)
    (tmp_path / "parse.mjs").write_text(PARSE)
    parsed = subprocess.run(
        ["node", "parse.mjs"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert parsed.stdout.split() == [str(len(document()["channels"]))]
