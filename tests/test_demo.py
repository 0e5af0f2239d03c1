"""The demo, as somebody who just cloned the repository would run it, without the installation."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

import pytest

ROOT = Path(__file__).resolve().parents[1]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(Path("/dev/video0").exists(), reason="the demo would watch your camera"),
]


def start_demo(*words: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, ROOT / "demo" / "run.py", "--port", "0", *words],
        stdout=subprocess.PIPE,
        text=True,
        env={name: value for name, value in os.environ.items() if "DISPLAY" not in name},
    )


def test_the_clips_are_small_enough_for_a_clone() -> None:
    assert sum(path.stat().st_size for path in (ROOT / "demo").glob("*.mp4")) < 1.5e6


@pytest.mark.timeout(300)
def test_the_demo_finds_people_serves_its_page_and_ends_with_ctrl_c() -> None:
    demo = start_demo()
    assert demo.stdout is not None
    shown = ""
    for line in demo.stdout:
        shown += line
        if re.search(r"[1-9] people .* frames/s", line):
            break
    address = re.search(r"http://127\.0\.0\.1:\d+/", shown)
    assert address is not None, shown
    with urlopen(address.group()) as page:  # noqa: S310 - http, as matched above
        assert b"edge-pose" in page.read()
    demo.send_signal(signal.SIGINT)
    rest, _ = demo.communicate(timeout=60)
    assert demo.returncode == 0
    assert "all is closed" in rest


@pytest.mark.timeout(300)
def test_the_demo_plays_the_clips_once_and_ends_by_itself() -> None:
    demo = start_demo("--once")
    shown, _ = demo.communicate()
    assert demo.returncode == 0
    assert re.search(r"\d+ frames done", shown)


def test_a_camera_that_is_not_there_is_one_sentence_and_the_code_of_the_operator() -> None:
    demo = start_demo("--camera", "no-such-clip.mp4")
    shown, _ = demo.communicate()
    assert demo.returncode == 78
    assert "Traceback" not in shown
