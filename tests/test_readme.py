"""What the README shows is what happens: its console sessions are run, its messages are checked."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from edge_pose.angles import NAMES as ANGLES
from edge_pose.event import EVENTS
from edge_pose.message import (
    FrameMessage,
    Info,
    LatencyMs,
    Lens,
    Meta,
    Model,
    Person,
    StatsMessage,
)
from edge_pose.schema.asyncapi import CHANNELS
from edge_pose.skeleton import NUM_JOINTS

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
MESSAGES = (ROOT / "docs" / "messages.md").read_text()
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)
COMMAND = re.compile(r"^\$ (.+)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)
SESSIONS = [
    session
    for language, text in BLOCK.findall(README)
    if language == "console"
    for session in COMMAND.findall(text)
]
SCRIPTS = {
    script
    for language, text in BLOCK.findall(README)
    if language == "sh"
    for script in re.findall(r"^(scripts/\w+)", text, re.MULTILINE)
}
EXAMPLES = [text for language, text in BLOCK.findall(MESSAGES) if language == "json"]


def names(message: type) -> set[str]:
    return {field.name for field in fields(message)}


def matches(printed: str, shown: str) -> bool:
    """Compare; … stands for any text within a line, and alone on a line for any lines."""
    pattern = "".join(
        r"(?:.*\n)*?"
        if line.strip() == "…"
        else ".*".join(re.escape(part) for part in line.split("…"))
        for line in shown.splitlines(keepends=True)
    )
    return re.fullmatch(pattern, printed) is not None


def test_dots_stand_for_lines_and_everything_else_for_itself() -> None:
    assert matches("a\nb\nc\nd\n", "a\n…\nd\n")
    assert matches("took 3 s\n", "took … s\n")
    assert not matches("took 3 s\nmore\n", "took … s\n")
    assert not matches("a\nb\n", "a\n")
    assert not matches("a+\n", "aa\n")


def test_the_readme_has_sessions_and_scripts() -> None:
    assert SESSIONS
    assert {"scripts/demo", "scripts/test"} <= SCRIPTS


@pytest.mark.parametrize("script", sorted(SCRIPTS))
def test_the_scripts_that_the_readme_names_can_be_run(script: str) -> None:
    assert os.access(ROOT / script, os.X_OK)


@pytest.mark.slow
@pytest.mark.parametrize(("command", "shown"), SESSIONS, ids=[command for command, _ in SESSIONS])
def test_a_session_of_the_readme_prints_what_it_shows(
    command: str, shown: str, tmp_path: Path
) -> None:
    shell = shutil.which("bash")
    assert shell
    result = subprocess.run(
        [shell, "-c", command],
        cwd=tmp_path,
        env={
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(tmp_path),
            "COLUMNS": "80",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=60,
    )
    assert matches(result.stdout, shown), result.stdout


def test_the_example_on_the_page_is_a_frame_with_a_whole_person() -> None:
    (text,) = EXAMPLES
    frame = json.loads(text)
    (person,) = frame["persons"]
    optional = {"predicted", "stale"}
    assert set(frame) == names(FrameMessage)
    assert set(person) == names(Person) - optional
    assert len(person["kp"]) == len(person["kp_px"]) == NUM_JOINTS


def test_the_joints_of_the_example_lie_where_their_pixels_say() -> None:
    """One lens explains all 25: the example was not made up joint by joint."""
    (person,) = json.loads(EXAMPLES[0])["persons"]
    slopes = np.array([x / z for x, _, z, _ in person["kp"]])
    columns = np.array([u for u, _ in person["kp_px"]])
    fx, cx = np.polyfit(slopes, columns, 1)
    np.testing.assert_allclose(fx * slopes + cx, columns, atol=0.5)


@pytest.mark.parametrize(
    "message",
    [FrameMessage, Person, LatencyMs, Meta, Lens, Model, Info, StatsMessage, *EVENTS.values()],
)
def test_the_page_explains_every_key_of_every_message(message: type) -> None:
    explained = set(re.findall(r"`(\w+)`", MESSAGES))
    assert names(message) - explained == set()


def test_the_page_explains_every_kind_of_event_and_every_angle() -> None:
    explained = set(re.findall(r"`(\w+)`", MESSAGES))
    assert set(EVENTS) <= explained
    assert {angle for angle in ANGLES if not angle.startswith("right_")} <= explained


TOPIC = re.compile(r"^\| `(<root>[^`]+)` \|.*\| ([01]), (yes|no) \|$", re.MULTILINE)


def test_the_page_has_the_topics_of_the_asyncapi_document_and_no_others() -> None:
    told = {(topic, int(qos), kept == "yes") for topic, qos, kept in TOPIC.findall(MESSAGES)}
    wanted = set()
    for channel in CHANNELS:
        address = re.sub(r"/event/\w+$", "/event/<type>", channel.address)
        address = address.replace("{axis}", "<x, y, z or c>")
        address = address.replace("{", "<").replace("}", ">")
        wanted.add((address, channel.qos, channel.retained))
    assert told == wanted
