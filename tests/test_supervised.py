"""Under a real systemd the unit that ships starts, is fenced in, restarted, left alone, stopped."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from appliance import write_clip
from brokers import Mosquitto, prepared_mosquitto
from edge_pose.broker import free_port
from edge_pose.bundle import CARD
from real_systemd import Systemd, booted, needs_systemd
from signing import Release, release

pytestmark = [pytest.mark.slow, needs_systemd]

NOBODY = ("setpriv", "--reuid=65534", "--clear-groups")
PROGRAM = "/opt/edge-pose/bin/edge-pose"
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
WATCHDOG_S = 3
ETC = {
    "edge-pose/north.toml": CLIP + QUIET,
    "edge-pose/south.toml": CLIP + QUIET,
    "edge-pose/wrong.toml": "[camrea]\n",
    "edge-pose/hung.toml": CLIP + '[output]\nmessages = "jsonl"\n',
    "edge-pose/locked.toml": CLIP + LOCKED + '"mqtt-password"\n',
    "edge-pose/unlocked.toml": CLIP + LOCKED + '"camera-password"\n',
    "edge-pose/slow.toml": CLIP + QUIET,
    "edge-pose/secrets/mqtt-password": "s3cret\n",
    # Nobody reads this pipe: once it is full, the loop waits for ever in the middle of its work.
    "systemd/system/edge-pose@hung.service.d/test.conf": (
        "[Service]\nWatchdogSec=3s\nTimeoutAbortSec=3s\nStandardOutput=file:/run/nobody-reads\n"
    ),
    "systemd/system/edge-pose@slow.service.d/test.conf": (
        f"[Service]\nWatchdogSec={WATCHDOG_S}s\nTimeoutAbortSec=3s\n"
    ),
}


@pytest.fixture(scope="module")
def mosquitto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    """Run a broker that lets in whoever knows the secret of the service."""
    folder = tmp_path_factory.mktemp("broker")
    known = folder / "passwords"
    subprocess.run(["mosquitto_passwd", "-b", "-c", known, "eve", "s3cret"], check=True)
    child = prepared_mosquitto(folder, "allow_anonymous false", f"password_file {known}")
    child.start()
    yield child
    child.stop()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Release:
    return release(tmp_path_factory.mktemp("release"))


@pytest.fixture(scope="module")
def figures_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def systemd(
    tmp_path_factory: pytest.TempPathFactory,
    mosquitto: Mosquitto,
    made: Release,
    figures_port: int,
) -> Iterator[Systemd]:
    beside = tmp_path_factory.mktemp("beside")
    write_clip(beside / "walk.avi", frames=3000)
    shutil.copytree(made.packed, beside / "bundle")
    shutil.copytree(made.bundle("signed", 1), beside / "signed")
    slow = Path(shutil.copytree(made.packed, beside / "slow"))
    (slow / CARD).unlink()
    (public,) = made.trusted.iterdir()
    broker = f"127.0.0.1:{mosquitto.broker.port}"
    etc = {
        **ETC,
        "edge-pose/known.toml": ETC["edge-pose/locked.toml"].replace("127.0.0.1:9", broker),
        "edge-pose/trusted-keys/release.pem": public.read_text(),
        "edge-pose/signed.toml": (
            f'[camera]\nsource = "{BESIDE}/walk.avi"\nrealtime = true\n'
            '[model]\ntrusted_keys = "/etc/edge-pose/trusted-keys"\n'
            f"[metrics]\nenabled = true\nport = {figures_port}\n" + QUIET
        ),
    }
    with booted(tmp_path_factory.mktemp("systemd"), etc, beside=beside) as running:
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


def test_root_asks_with_the_secrets_of_the_service(systemd: Systemd) -> None:
    said = systemd.run(PROGRAM, "check", "--config", "/etc/edge-pose/known.toml")
    assert re.search(r"(?m)^ok +broker +mqtt://127.* lets us in", said), said
    settings = ("--config", "/etc/edge-pose/known.toml", "--port", "0")
    said = systemd.run("timeout", "10", PROGRAM, "view", *settings)
    assert "http://127.0.0.1:" in said


def test_root_removes_what_waits_for_the_broker_in_the_folder_of_the_service(
    systemd: Systemd,
) -> None:
    unit, purge = "edge-pose@locked", (PROGRAM, "purge", "--config", "/etc/edge-pose/locked.toml")
    systemd.run("systemctl", "start", unit)
    systemd.until(unit, "StatusText", lambda text: text.startswith("online, "))
    assert "stop the edge-pose that uses it first" in systemd.run(*purge)
    systemd.run("systemctl", "stop", unit)
    said = systemd.run(*purge)
    assert re.search(r"Removed [1-9]\d* messages that waited in /var/lib/edge-pose/locked/", said)
    said = systemd.run(*purge)
    assert said.startswith("Nothing waits in /var/lib/edge-pose/locked/")
    assert "spool" not in systemd.run("ls", "/var/lib/edge-pose/locked/")
    said = systemd.run(*NOBODY, *purge)
    assert "cannot be reached (Permission denied); ask as root" in said
    assert "Traceback" not in said


def test_a_model_that_root_installs_is_the_one_that_the_service_opens(
    systemd: Systemd, figures_port: int
) -> None:
    unit, config = "edge-pose@signed", ("--config", "/etc/edge-pose/signed.toml")
    said = systemd.run(PROGRAM, "model", "install", f"{BESIDE}/signed", *config)
    assert said.startswith("current   stand-in"), said
    systemd.run("systemctl", "start", unit)
    assert systemd.show(unit, "ActiveState") == "active", systemd.journal(unit)
    with urlopen(f"http://127.0.0.1:{figures_port}/metrics") as answer:
        assert 'model="stand-in"' in answer.read().decode()
    systemd.run("systemctl", "stop", unit)
    listed = (PROGRAM, "model", "list", *config)
    assert systemd.run(*listed).startswith("current   stand-in")
    assert "cannot be looked into (Permission denied); ask as root" in systemd.run(*NOBODY, *listed)


def test_a_reload_may_take_longer_for_its_model_than_the_watchdog_waits_for_the_loop(
    systemd: Systemd,
) -> None:
    """Whoever reads the card is held up until somebody writes it."""
    unit = "edge-pose@slow"
    systemd.run("systemctl", "start", unit)
    first = systemd.show(unit, "MainPID")
    systemd.until(unit, "StatusText", lambda text: text.startswith("online, "))
    systemd.run("mkfifo", "--mode=644", f"{BESIDE}/slow/{CARD}")
    systemd.run("sed", "-i", "s|/bundle|/slow|", "/etc/edge-pose/slow.toml")
    systemd.run("systemctl", "reload", unit)
    late = f"exec 3>{BESIDE}/slow/{CARD}; sleep {2 * WATCHDOG_S}; cat {BESIDE}/bundle/{CARD} >&3"
    systemd.run("bash", "-c", late)
    systemd.until(unit, "StatusText", lambda text: text.startswith("online, "))
    assert (systemd.show(unit, "MainPID"), systemd.show(unit, "NRestarts")) == (first, "0")
    assert systemd.show(unit, "WatchdogUSec") == f"{WATCHDOG_S}s"
    systemd.run("systemctl", "kill", "--signal=STOP", unit)
    systemd.until(unit, "NRestarts", lambda text: int(text) == 1)
    systemd.run("systemctl", "kill", "--signal=KILL", unit)
    systemd.run("systemctl", "stop", unit)
