"""Under a real systemd the unit that ships starts, is fenced in, restarted, left alone, stopped."""

import json
import shutil
from collections.abc import Iterator

import pytest

from appliance import write_clip
from bundles import make_bundle
from real_systemd import Systemd, booted, needs_systemd

pytestmark = [pytest.mark.slow, needs_systemd]

BESIDE = "/opt/edge-pose/given/beside"
CLIP = f"""
[camera]
source = "{BESIDE}/walk.avi"
realtime = true
[model]
bundle = "{BESIDE}/bundle"
"""
QUIET = '[output]\nmessages = "none"\n'
LOCKED = QUIET + '[mqtt]\nbroker = "127.0.0.1:9"\nusername = "eve"\npassword_file = '
ETC = {
    "edge-pose/north.toml": CLIP + QUIET,
    "edge-pose/south.toml": CLIP + QUIET,
    "edge-pose/wrong.toml": "[camrea]\n",
    "edge-pose/hung.toml": CLIP + '[output]\nmessages = "jsonl"\n',
    "edge-pose/locked.toml": CLIP + LOCKED + '"mqtt-password"\n',
    "edge-pose/unlocked.toml": CLIP + LOCKED + '"camera-password"\n',
    "edge-pose/secrets/mqtt-password": "s3cret\n",
    # Nobody reads this pipe: once it is full, the loop waits for ever in the middle of its work.
    "systemd/system/edge-pose@hung.service.d/test.conf": (
        "[Service]\nWatchdogSec=3s\nTimeoutAbortSec=3s\nStandardOutput=file:/run/nobody-reads\n"
    ),
}


@pytest.fixture(scope="module")
def systemd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Systemd]:
    beside = tmp_path_factory.mktemp("beside")
    write_clip(beside / "walk.avi", frames=3000)
    bundle = make_bundle(tmp_path_factory.mktemp("made"))
    if bundle != beside / "bundle":
        shutil.copytree(bundle, beside / "bundle")
    with booted(tmp_path_factory.mktemp("systemd"), ETC, beside=beside) as running:
        yield running


def test_it_is_ready_tells_how_it_does_and_ends_well_when_asked(systemd: Systemd) -> None:
    unit = "edge-pose@north"
    systemd.run("systemctl", "start", unit)
    systemd.until(unit, "StatusText", lambda text: text.startswith("online, "))
    assert systemd.show(unit, "ActiveState") == "active"
    systemd.run("systemctl", "stop", unit)
    assert f"{unit}.service: Deactivated successfully." in systemd.journal(unit)
    (last,) = systemd.journal(unit, "--lines=1", "--identifier=edge-pose").splitlines()
    assert "frames done" in last, "it ended by itself, not by the signal"


def test_two_cameras_are_one_user_with_nothing_but_what_they_need(systemd: Systemd) -> None:
    users = []
    for name in ("north", "south"):
        systemd.run("systemctl", "start", f"edge-pose@{name}")
        process = systemd.show(f"edge-pose@{name}", "MainPID")
        status = systemd.run("cat", f"/proc/{process}/status")
        told = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert int(told["CapEff"], 16) == int(told["CapBnd"], 16) == 0
        assert (told["NoNewPrivs"], told["Seccomp"]) == ("1", "2")
        users.append(told["Uid"].split()[0])
    assert users[0] == users[1] != "0"
    listed = systemd.run("stat", "--format=%U %n", "/var/lib/private/edge-pose/north")
    assert listed == "edge-pose /var/lib/private/edge-pose/north\n"
    systemd.run("systemctl", "stop", "edge-pose@north", "edge-pose@south")


def test_settings_that_cannot_be_used_are_told_once_and_not_tried_again(systemd: Systemd) -> None:
    unit = "edge-pose@wrong"
    systemd.run("systemctl", "start", unit)
    assert systemd.show(unit, "ExecMainStatus") == "78"
    assert systemd.show(unit, "SubState") == "failed", "another try would be auto-restart"
    assert systemd.show(unit, "NRestarts") == "0"
    (line,) = systemd.journal(unit, "--output=json", "--identifier=edge-pose").splitlines()
    told = json.loads(line)
    assert told["PRIORITY"] == "3", "an error, for those who filter"
    assert "did you mean 'camera'?" in told["MESSAGE"]


def test_a_loop_that_hangs_is_ended_by_the_watchdog_and_started_again(systemd: Systemd) -> None:
    unit = "edge-pose@hung"
    systemd.run("mkfifo", "/run/nobody-reads")
    systemd.run("bash", "-c", "sleep 100 <>/run/nobody-reads >/dev/null 2>&1 &")
    systemd.run("systemctl", "start", unit)
    first = systemd.show(unit, "MainPID")
    systemd.until(unit, "NRestarts", lambda text: int(text) >= 1)
    systemd.until(unit, "MainPID", lambda text: text not in ("0", first))
    systemd.run("systemctl", "kill", "--signal=KILL", unit)
    systemd.run("systemctl", "stop", unit)
    assert f"{unit}.service: Watchdog timeout" in systemd.journal(unit)


def test_a_secret_is_handed_over_and_one_that_is_missing_is_named(systemd: Systemd) -> None:
    systemd.run("systemctl", "start", "edge-pose@locked")
    assert systemd.show("edge-pose@locked", "ActiveState") == "active"
    systemd.run("systemctl", "stop", "edge-pose@locked")
    systemd.run("systemctl", "start", "edge-pose@unlocked")
    assert systemd.show("edge-pose@unlocked", "ExecMainStatus") == "78"
    assert "first line is empty" in systemd.journal("edge-pose@unlocked")
