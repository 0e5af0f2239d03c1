"""Somebody sets the wall clock while the appliance runs: time stamps follow, nothing else does."""

import json
import shutil
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance import start, write_clip
from bundles import make_bundle

HOUR_MS = 3_600_000
COMPILER = shutil.which("g++")


def set_wall_clock(wall: Path, shift_s: int) -> None:
    """Write over the same bytes, which the running program has mapped."""
    with wall.open("r+b" if wall.exists() else "wb") as file:
        file.write(struct.pack("l", shift_s))


def frames(child: "subprocess.Popen[str]") -> Iterator[dict[str, object]]:
    assert child.stdout is not None
    for line in child.stdout:
        message = json.loads(line)
        if "seq" in message:
            yield message


@pytest.mark.slow
@pytest.mark.skipif(COMPILER is None, reason="needs g++")
def test_a_wall_clock_that_is_set_an_hour_on_and_back_disturbs_nothing(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "walk.avi", frames=1500)
    library, wall = tmp_path / "wall_clock.so", tmp_path / "wall"
    source = Path(__file__).with_name("wall_clock.cpp")
    assert COMPILER
    subprocess.run([COMPILER, "-shared", "-fPIC", "-o", library, source], check=True)
    set_wall_clock(wall, 0)
    environ = {"LD_PRELOAD": str(library), "WALL_CLOCK_FILE": str(wall)}
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
    ages_ms = [message["lat_ms"]["total"] for message in seen]  # type: ignore[index]
    assert all(0 < age_ms < HOUR_MS / 10 for age_ms in ages_ms)
    assert all(message["persons"] for message in seen[5:]), "nobody is forgotten"
