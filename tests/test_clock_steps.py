"""Somebody sets the wall clock while the appliance runs: time stamps follow, nothing else does."""

import json
import shutil
import struct
import subprocess
from collections.abc import Iterator
from contextlib import closing
from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest

from appliance import start, write_clip
from brokers import Mosquitto, Reader, prepared_mosquitto
from bundles import make_bundle

HOUR_MS = 3_600_000
MONTH_S = 30 * 86_400
COMPILER = shutil.which("g++")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(COMPILER is None, reason="needs g++"),
]


@pytest.fixture
def wall(tmp_path: Path) -> Path:
    """Give the file that says how far the wall clock is off."""
    path = tmp_path / "wall"
    set_wall_clock(path, 0)
    return path


@pytest.fixture
def environ(tmp_path: Path, wall: Path) -> dict[str, str]:
    """Give the environment of a program of which the wall clock can be set."""
    library = tmp_path / "wall_clock.so"
    source = Path(__file__).with_name("wall_clock.cpp")
    assert COMPILER
    subprocess.run([COMPILER, "-shared", "-fPIC", "-o", library, source], check=True)
    return {"LD_PRELOAD": str(library), "WALL_CLOCK_FILE": str(wall)}


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    child = prepared_mosquitto(tmp_path)
    child.start()
    yield child
    child.stop()


def set_wall_clock(wall: Path, shift_s: int) -> None:
    """Write over the same bytes, which the running program has mapped."""
    with wall.open("r+b" if wall.exists() else "wb") as file:
        file.write(struct.pack("l", shift_s))


def lines(child: "subprocess.Popen[str]") -> Iterator[dict[str, Any]]:
    assert child.stdout is not None
    return map(json.loads, child.stdout)


def frames(child: "subprocess.Popen[str]") -> Iterator[dict[str, Any]]:
    return (line for line in lines(child) if "seq" in line)


def test_a_wall_clock_that_is_set_an_hour_on_and_back_disturbs_nothing(
    tmp_path: Path, wall: Path, environ: dict[str, str]
) -> None:
    clip = write_clip(tmp_path / "walk.avi", frames=1500)
    bundle = make_bundle(tmp_path)
    words = ("--bundle", bundle, "--realtime", "--output", "jsonl")
    with start("run", clip, *words, environ=environ) as child:
        try:
            seen = [next(frames(child))]
            for shift_s, jumped_ms in ((3600, HOUR_MS), (-3600, -2 * HOUR_MS)):
                set_wall_clock(wall, shift_s)
                before_ms = int(str(seen[-1]["ts"]))
                for message in frames(child):
                    seen.append(message)
                    if abs(int(str(message["ts"])) - before_ms - jumped_ms) < HOUR_MS / 10:
                        break
            seen += [next(frames(child)) for _ in range(20)]
            child.terminate()
            _, told = child.communicate(timeout=60)
        finally:
            child.kill()
    assert child.returncode == 0, told
    assert "stale" not in told
    assert told.count("The camera is online") == 1
    sequence = [int(str(message["seq"])) for message in seen]
    assert sequence == sorted(sequence)
    ages_ms = [message["lat_ms"]["total"] for message in seen]
    assert all(0 < age_ms < HOUR_MS / 10 for age_ms in ages_ms)
    assert all(message["persons"] for message in seen[5:]), "nobody is forgotten"


def test_a_wall_clock_that_is_set_a_month_on_takes_no_event_that_waits(
    tmp_path: Path, wall: Path, environ: dict[str, str], mosquitto: Mosquitto
) -> None:
    clip = write_clip(tmp_path / "walk.avi", frames=1500)
    bundle = make_bundle(tmp_path)
    settings = tmp_path / "edge-pose.toml"
    settings.write_text(
        f'[mqtt]\nbroker = "127.0.0.1:{mosquitto.broker.port}"\n[device]\nname = "edge-7"\n'
        f'[spool]\nfolder = "{tmp_path}"\n[output]\nevents = true\n'
    )
    words = ("--config", settings, "--bundle", bundle, "--realtime", "--output", "jsonl")
    with start("run", clip, *words, environ=environ) as child:
        try:
            happened = (line["event"] for line in lines(child) if "event" in line)
            told = [next(happened), next(happened)]  # the camera is there, and then somebody
            set_wall_clock(wall, MONTH_S)
            told.append(next(happened))  # they went
            with closing(Reader(mosquitto.broker, "edge-pose/edge-7/cam0/event/+")) as reader:
                heard = [json.loads(reader.next()) for _ in told]
        finally:
            child.kill()
    times_ms = [event["ts"] for event in told]
    assert times_ms[2] - times_ms[1] > MONTH_S * 1000
    heard.sort(key=itemgetter("seq"))
    assert [{key: event[key] for key in event if key != "seq"} for event in heard] == told
