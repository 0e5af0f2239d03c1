"""Bad input is answered with a sentence: a few hundred cases of each kind, other ones every time.

`scripts/fuzz --cases N` tries as many as one likes.  What it once found stands below by itself.
"""

import secrets
import subprocess
import sys
from pathlib import Path

import pytest

from edge_pose.address import parse_broker
from edge_pose.camera import read_calibration
from edge_pose.clip import pictures
from edge_pose.config.read import Setting, load
from edge_pose.config.rules import secret
from edge_pose.errors import ConfigError, EdgePoseError, SourceError
from edge_pose.recorded import recorded
from fuzzing import run, survive, targets

ROOT = Path(__file__).resolve().parents[1]
TARGETS = targets()


@pytest.mark.parametrize("name", TARGETS)
def test_bad_input_is_answered_with_a_sentence(name: str) -> None:
    assert run(TARGETS[name], 200, first_seed=secrets.randbelow(1 << 30)) >= 200


def test_a_crash_would_be_found() -> None:
    with pytest.raises(ZeroDivisionError):
        survive(lambda data: 1 // len(data), b"")
    with pytest.raises(AssertionError, match="without a sentence"):
        survive(_raise, "")


def _raise(sentence: str) -> None:
    raise EdgePoseError(sentence)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ("[output]\nmessages = []", r"output.messages is \[\]; wanted 'jsonl' or 'none'"),
        ("[camera]\nfps = nan", "camera.fps is nan"),
        ("[camera]\nstale_s = inf", "camera.stale_s is inf"),
        (f"[output]\nframes = {10**40}", "output.frames is 1000000"),
        (f"[output]\nframes = {'9' * 400}", "output.frames is 9999.*…; wanted a number"),
        (f"[output]\nframes = {'9' * 5000}", "is not TOML"),
        (f"[output]\nframes = 0x{'f' * 5000}", "output.frames is far too large"),
        (f"[camera]\nname = 0x{'f' * 5000}", "camera.name is far too large; wanted text"),
        (f"[camera]\nwait = [0x{'f' * 5000}]", "camera.wait is far too large"),
        ('[camera]\npassword_file = "a\\u0000b"', "camera.password_file contains a zero byte"),
        ('[camera]\nsource = "rtsp://["', "the camera's address|is no address"),
        ('[camera]\nsource = "rtsp://cam:99999/s"', "Port out of range"),
        ('[mqtt]\nbroker = "["', "broker address"),
        ('[device]\nname = "a\\nb"', "cannot begin an MQTT topic"),
        ("a = " + "[" * 9999, "is not TOML"),
    ],
)
def test_settings_that_once_led_to_a_trace(tmp_path: Path, settings: str, sentence: str) -> None:
    path = tmp_path / "line.toml"
    path.write_text(settings, encoding="utf-8")
    with pytest.raises(ConfigError, match=sentence) as caught:
        load({}, environ={}, path=path)
    assert "\n" not in str(caught.value)


def test_an_address_that_cannot_be_taken_apart_tells_no_password() -> None:
    for address in ("mqtt://line:hu/sh@host", "mqtt://line:hush@[", "line:hush@host:x"):
        with pytest.raises(ConfigError) as caught:
            parse_broker(address)
        assert "hu" not in str(caught.value)
    for address in ("rtsp://eve:hu/sh@cam", "rtsp://eve:hush@["):
        with pytest.raises(ConfigError) as caught:
            load({"camera.source": Setting(value=address, origin="x.toml")}, environ={})
        assert "hu" not in str(caught.value)


@pytest.mark.parametrize("text", ["0", "[]", "[" * 9999, '{"fx": 1' + "0" * 400 + "}"])
def test_calibrations_that_once_led_to_a_trace(tmp_path: Path, text: str) -> None:
    path = tmp_path / "lens.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"lens\.json"):
        read_calibration(path)


def test_names_and_files_that_once_led_to_a_trace(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cannot be read: File name too long"):
        pictures(tmp_path / ("x" * 300))
    path = tmp_path / "deep.jsonl"
    path.write_text("[" * 9999, encoding="utf-8")
    with pytest.raises(SourceError, match="line 1, is no message"):
        list(recorded(path))
    path.write_bytes(b"\n")
    with pytest.raises(ConfigError, match="first line is empty"):
        secret(path, name="x")


def test_the_script_counts_the_cases_of_each_reader() -> None:
    words = [sys.executable, str(ROOT / "scripts" / "fuzz"), "--cases", "50", "--seed", "3"]
    done = subprocess.run(
        [*words, "--target", "commands", "--target", "signatures"],
        capture_output=True,
        text=True,
        check=True,
    )
    first, second, last = done.stdout.splitlines()
    assert first.split()[:3] == ["commands", "50", "cases"]
    assert second.split()[:3] == ["signatures", "50", "cases"]
    assert last == f"{'all':24}{100:10} cases, none of them a crash (seed 3)"
