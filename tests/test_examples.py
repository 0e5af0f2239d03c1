"""Projects for other people's programs, as they ship: what they read is what we publish."""

import json
from dataclasses import fields
from pathlib import Path

import pytest

from edge_pose.address import Topics
from edge_pose.message import StatsMessage, flat_person, frame_message
from walkers import walkers

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
FUXA = json.loads((EXAMPLES / "fuxa" / "edge-pose.fuxap").read_text())
(DEVICE,) = FUXA["devices"].values()
TOPICS = Topics(root="edge-pose", device="edge-1", cam="cam0")


def keys_of_a_person() -> set[str]:
    frame, poses, stats = next(walkers(people=1))
    message = frame_message(frame, poses, stats, cam="cam0")
    return set(flat_person(message, message.persons[0]))


READABLE: dict[str, set[str | None]] = {
    TOPICS.device_status: {None},
    TOPICS.camera("status"): {None},
    TOPICS.camera("stats"): {*(field.name for field in fields(StatsMessage))},
    TOPICS.camera("person/0"): {*keys_of_a_person()},
}
"""What FUXA can read: whole payloads, and the keys of flat messages."""


@pytest.mark.parametrize("name", sorted(DEVICE["tags"]))
def test_a_tag_of_fuxa_reads_a_key_that_is_published(name: str) -> None:
    tag = DEVICE["tags"][name]
    assert tag["memaddress"] in READABLE[tag["address"]]
    assert tag["type"] == ("raw" if tag["memaddress"] is None else "json")


def test_every_tag_of_fuxa_is_shown_once() -> None:
    (view,) = FUXA["hmi"]["views"]
    shown = [item["property"]["variableId"] for item in view["items"].values()]
    assert sorted(shown) == sorted(DEVICE["tags"])
    assert all(view["svgcontent"].count(f'id="{item}"') == 1 for item in view["items"])


@pytest.mark.parametrize("folder", ["fuxa", "node-red"])
def test_an_example_names_exact_versions(folder: str) -> None:
    needs = json.loads((EXAMPLES / folder / "package.json").read_text())["dependencies"]
    assert needs
    assert all(version.replace(".", "").isdigit() for version in needs.values())
