"""A running appliance is paused, asked for figures and given new settings, and never falls over."""

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from types import MappingProxyType
from typing import Any

import pytest

from appliance import start, write_clip
from brokers import Listener, Mosquitto, listening
from bundles import make_bundle
from edge_pose.address import Broker
from edge_pose.bundle import CARD, MANIFEST
from edge_pose.pause import Pause, marker
from edge_pose.store import Store
from signing import release

PREFIX = "edge-pose/dev/cam0"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five minutes of it, at its own rate, stand for a camera."""
    return write_clip(tmp_path_factory.mktemp("clip") / "long.avi", frames=3000, fps=10.0)


@dataclass
class Running:
    """The appliance, what is heard of it, and its log."""

    broker: Broker
    settings: Path
    child: "subprocess.Popen[str]"
    listener: Listener
    log: list[str]

    def ask(self, name: str, payload: str = "", *more: str, where: str = PREFIX) -> None:
        """Send a command with mosquitto's own client."""
        broker = ["-h", self.broker.host, "-p", str(self.broker.port)]
        subprocess.run(
            [
                "mosquitto_pub",
                *broker,
                "-q",
                "1",
                "-t",
                f"{where}/cmd/{name}",
                "-m",
                payload,
                *more,
            ],
            check=True,
        )

    def answer(self, name: str) -> dict[str, Any]:
        """Wait for the result."""
        heard = self.listener.next(f"/cmd/{name}/result")
        assert (heard.qos, heard.retained) == (1, False)
        table: dict[str, Any] = json.loads(heard.payload)
        return table

    def asked(self, name: str, payload: str = "") -> dict[str, Any]:
        """Do both."""
        self.ask(name, payload)
        return self.answer(name)

    def wait_for_log(self, sentence: str, times: int = 1) -> None:
        """Wait until the log has it so often."""
        deadline_s = time.monotonic() + 60
        while sum(sentence in line for line in self.log) < times:
            assert time.monotonic() < deadline_s, self.log
            assert self.child.poll() is None, self.log
            time.sleep(0.02)


def write(path: Path, clip: Path, model: Path | str, broker: Broker, more: str = "") -> None:
    told = f'bundle = "{model}"' if isinstance(model, Path) else model
    path.write_text(
        f'[camera]\nsource = "{clip}"\nrealtime = true\n'
        f'[model]\n{told}\n[device]\nname = "dev"\n'
        f'[mqtt]\nbroker = "{broker.host}:{broker.port}"\n' + more,
        encoding="utf-8",
    )


def renamed(folder: Path, version: str) -> None:
    text = (folder / MANIFEST).read_text()
    (folder / MANIFEST).write_text(text.replace('"0.0.1"', f'"{version}"'))


ENABLED = "[commands]\nenabled = true\n"


@contextmanager
def running(
    tmp_path: Path,
    clip: Path,
    bundle: Path | str,
    broker: Broker,
    more: str = ENABLED,
    environ: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Running]:
    settings = tmp_path / "line.toml"
    write(settings, clip, bundle, broker, more)
    state = tmp_path / "state"
    state.mkdir(exist_ok=True)
    environ = {"STATE_DIRECTORY": str(state), **environ}
    with (
        listening(broker, "#", "-q", "1") as listener,
        start("run", "--config", settings, "--output", "none", environ=environ) as child,
    ):
        log: list[str] = []

        def read() -> None:
            assert child.stderr is not None
            log.extend(iter(child.stderr.readline, ""))

        reader = Thread(target=read)
        reader.start()
        try:
            yield Running(broker, settings, child, listener, log)
            child.send_signal(signal.SIGTERM)
            assert child.wait(60) == 0, log
        finally:
            child.kill()
            reader.join()
    assert not any("Traceback" in line for line in log), log


def test_pause_is_seen_stops_the_poses_and_is_ended_by_resume(
    mosquitto: Mosquitto, tmp_path: Path, clip: Path, bundle: Path
) -> None:
    with running(tmp_path, clip, bundle, mosquitto.broker) as edge:
        edge.wait_for_log("Commands are heard at")
        edge.listener.next("/pose")
        edge.ask("pause", '{"id": "p1"}')
        edge.listener.until(f"{PREFIX}/status", "paused")
        told = edge.asked("snapshot-stats")
        assert (told["ok"], told["stats"]["paused"], told["stats"]["camera"]) == (
            True,
            True,
            "paused",
        )
        time.sleep(1.0)
        edge.ask("resume", '{"id": "p2"}')
        heard = edge.listener.until(f"{PREFIX}/status", "online")
        assert not [one for one in heard if one.topic.endswith("/pose")]
        frame = json.loads(edge.listener.next("/pose").payload)
        assert frame["seq"] >= 10, "the camera was read on meanwhile"
        told = edge.asked("snapshot-stats")["stats"]
        assert (told["paused"], told["camera"], told["persons"]) == (False, "online", 1)
        assert any('AUDIT command "pause" id "p1" "done"' in line for line in edge.log)


def test_a_pause_outlives_a_restart(
    mosquitto: Mosquitto, tmp_path: Path, clip: Path, bundle: Path
) -> None:
    with running(tmp_path, clip, bundle, mosquitto.broker) as edge:
        edge.wait_for_log("Commands are heard at")
        assert edge.asked("pause")["paused"] is True
    marker = tmp_path / "state" / "paused"
    assert marker.stat().st_mode & 0o777 == 0o600
    with running(tmp_path, clip, bundle, mosquitto.broker) as edge:
        edge.wait_for_log("stays paused")
        edge.wait_for_log("Commands are heard at")
        edge.ask("resume")
        heard = edge.listener.until(f"{PREFIX}/status", "online")
        assert not [one for one in heard if one.topic.endswith("/pose")]
        edge.listener.next("/pose")
    assert not marker.exists()


def test_a_pause_outlives_a_restart_also_of_a_camera_that_a_reload_let_hear_and_renamed(
    mosquitto: Mosquitto, tmp_path: Path, clip: Path, bundle: Path
) -> None:
    with running(tmp_path, clip, bundle, mosquitto.broker, "") as edge:
        edge.listener.next("/pose")
        write(edge.settings, clip, bundle, mosquitto.broker, ENABLED)
        text = edge.settings.read_text().replace("[camera]\n", '[camera]\nname = "north"\n')
        edge.settings.write_text(text)
        edge.child.send_signal(signal.SIGHUP)
        edge.wait_for_log("Commands are heard at")
        edge.ask("pause", where="edge-pose/dev/north")
        edge.listener.until("edge-pose/dev/north/status", "paused")
    with running(tmp_path, clip, bundle, mosquitto.broker, ENABLED) as edge:
        edge.listener.until(f"{PREFIX}/status", "paused")
        edge.ask("resume")
        edge.listener.until(f"{PREFIX}/status", "online")


def test_a_pause_that_a_former_version_wrote_down_holds_until_it_is_ended(tmp_path: Path) -> None:
    (tmp_path / "paused-north").touch()
    path = marker({"STATE_DIRECTORY": str(tmp_path)})
    pause = Pause(path)
    pause.recall()
    assert pause
    pause.set(on=False)
    again = Pause(path)
    again.recall()
    assert not again


def test_a_pause_that_nobody_could_end_waits_until_somebody_can(
    mosquitto: Mosquitto, tmp_path: Path, clip: Path, bundle: Path
) -> None:
    with running(tmp_path, clip, bundle, mosquitto.broker) as edge:
        edge.wait_for_log("Commands are heard at")
        edge.asked("pause")
    with running(tmp_path, clip, bundle, mosquitto.broker, "") as edge:
        edge.listener.next("/pose")
        write(edge.settings, clip, bundle, mosquitto.broker, ENABLED)
        edge.child.send_signal(signal.SIGHUP)
        edge.listener.until(f"{PREFIX}/status", "paused")


def test_by_default_nothing_is_heard(
    mosquitto: Mosquitto, tmp_path: Path, clip: Path, bundle: Path
) -> None:
    with running(tmp_path, clip, bundle, mosquitto.broker, "") as edge:
        edge.listener.next("/pose")
        edge.ask("pause")
        for _ in range(10):
            edge.listener.next("/pose")
        assert not any("AUDIT" in line for line in edge.log)


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_command_that_the_broker_kept_is_not_done(
    mosquitto: Mosquitto, tmp_path: Path, clip: Path, bundle: Path, protocol: str
) -> None:
    where = ["-h", mosquitto.broker.host, "-p", str(mosquitto.broker.port)]
    topic = f"{PREFIX}/cmd/pause"
    subprocess.run(["mosquitto_pub", *where, "-r", "-t", topic, "-m", ""], check=True)
    subprocess.run(["mosquitto_pub", *where, "-r", "-t", topic, "-m", '{"id":1}'], check=True)
    more = f'protocol = "{protocol}"\n{ENABLED}'
    with running(tmp_path, clip, bundle, mosquitto.broker, more) as edge:
        edge.wait_for_log("Commands are heard at")
        assert edge.asked("snapshot-stats")["stats"]["paused"] is False
        assert not any('"pause"' in line and "done" in line for line in edge.log)


def test_what_is_not_allowed_and_garbage_get_a_clear_answer(
    mosquitto: Mosquitto, tmp_path: Path, clip: Path, bundle: Path
) -> None:
    more = f'{ENABLED}allow = "resume"\n'
    with running(tmp_path, clip, bundle, mosquitto.broker, more) as edge:
        edge.wait_for_log("Commands are heard at")
        assert "not allowed here" in edge.asked("pause")["error"]
        assert "allowed are resume" in edge.asked("shutdown")["error"]
        assert "is not JSON" in edge.asked("resume", "\x07garbage")["error"]
        edge.listener.next("/pose")


def test_rebirth_tells_anew_what_holds(
    mosquitto: Mosquitto, tmp_path: Path, clip: Path, bundle: Path
) -> None:
    with running(tmp_path, clip, bundle, mosquitto.broker) as edge:
        edge.wait_for_log("Commands are heard at")
        edge.listener.next("/pose")
        edge.ask("rebirth")
        told = {edge.listener.next(leaf).topic for leaf in ("/info", "/meta", "/dev/status")}
        assert told == {"edge-pose/dev/info", f"{PREFIX}/meta", "edge-pose/dev/status"}


def test_new_settings_are_taken_without_a_new_process_and_wrong_ones_are_not(
    mosquitto: Mosquitto, tmp_path: Path, clip: Path, bundle: Path
) -> None:
    broker = mosquitto.broker
    with running(tmp_path, clip, bundle, broker) as edge:
        edge.wait_for_log("Commands are heard at")
        edge.settings.write_text("[camera\n")
        told = edge.asked("reload", '{"id": 3}')
        assert (told["ok"], told["id"]) == (False, 3)
        assert "is not TOML" in told["error"]
        edge.listener.next("/pose")

        edge.child.send_signal(signal.SIGHUP)
        edge.wait_for_log("The settings are not taken: ")
        edge.listener.next("/pose")

        write(edge.settings, clip, bundle, broker, f'root = "plant/line-9"\n{ENABLED}')
        assert edge.asked("reload")["ok"] is True
        while not edge.listener.next("/pose").topic.startswith("plant/line-9/"):
            pass
        write(edge.settings, clip, bundle, broker, ENABLED)
        edge.child.send_signal(signal.SIGHUP)
        while not edge.listener.next("/pose").topic.startswith(PREFIX):
            pass


def test_a_model_that_was_installed_meanwhile_is_taken_up_by_reload(
    mosquitto: Mosquitto, tmp_path: Path, clip: Path
) -> None:
    made = release(tmp_path / "release")
    store = Store(tmp_path / "models", made.trusted)
    store.install(made.bundle("old", 1), lambda _folder: None)
    model = f'trusted_keys = "{made.trusted}"\nstore = "{store.folder}"'
    with running(tmp_path, clip, model, mosquitto.broker) as edge:

        def version() -> str:
            told: str = json.loads(edge.listener.next("/info").payload)["model"]["version"]
            return told

        assert version() == "0.0.1"
        newer = made.edited("new", 2, lambda folder: renamed(folder, "0.0.2"))
        store.install(newer, lambda _folder: None)
        edge.child.send_signal(signal.SIGHUP)
        assert version() == "0.0.2"


@pytest.mark.parametrize(
    ("find", "put", "sentence"),
    [
        ("[model]\nbundle = ", "[model]\n#bundle = \nbundle = '/nowhere' #", "/nowhere/manifest"),
        ("source = ", "source = '/nowhere.avi' #", "no file or folder /nowhere.avi"),
        ("broker = ", "ca_file = '/nowhere.pem'\nbroker = 'mqtts://127.0.0.1' #", "TLS files"),
        ("broker = ", "broker = '127.0.0.1:9' #", None),
    ],
)
def test_settings_that_turn_out_not_to_work_are_given_up_for_those_before(
    mosquitto: Mosquitto,
    tmp_path: Path,
    clip: Path,
    bundle: Path,
    find: str,
    put: str,
    sentence: str | None,
) -> None:
    with running(tmp_path, clip, bundle, mosquitto.broker) as edge:
        edge.listener.next("/pose")
        text = edge.settings.read_text()
        edge.settings.write_text(text.replace(find, put))
        edge.child.send_signal(signal.SIGHUP)
        edge.wait_for_log("The settings were read again")
        if sentence is not None:
            edge.wait_for_log("The new settings do not work: ")
            assert any(sentence in line for line in edge.log), edge.log
        else:  # a broker that is away may come; it is waited for with the new settings
            edge.wait_for_log("is away")
            edge.settings.write_text(text)
            edge.child.send_signal(signal.SIGHUP)
        edge.wait_for_log("Connected to the broker", times=2)
        edge.listener.next("/pose")


def test_the_watchdog_is_asked_for_patience_while_a_reload_opens_its_model(
    mosquitto: Mosquitto, tmp_path: Path, clip: Path, bundle: Path
) -> None:
    """Whoever reads the card of that model is held up until somebody writes it."""
    slow = Path(shutil.copytree(bundle, tmp_path / "slow"))
    (slow / CARD).unlink()
    os.mkfifo(slow / CARD)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        supervisor.bind(str(tmp_path / "notify"))
        supervisor.settimeout(60.0)

        def until(line: str) -> list[str]:
            heard = [""]
            while line not in heard[-1].splitlines():
                heard.append(supervisor.recv(4096).decode())
            return [told for told in heard if "WATCHDOG" in told]

        environ = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "20000000"}
        with running(tmp_path, clip, bundle, mosquitto.broker, environ=environ) as edge:
            assert until("READY=1") == [], "nobody waits for a sign of life yet"
            edge.wait_for_log("Commands are heard at")
            write(edge.settings, clip, slow, mosquitto.broker)
            edge.child.send_signal(signal.SIGHUP)
            until("STATUS=beginning again")
            with (slow / CARD).open("wb") as card:
                told = until("WATCHDOG_USEC=1800000000")
                assert told == ["WATCHDOG=1", "WATCHDOG_USEC=1800000000\nWATCHDOG=1"]
                card.write((bundle / CARD).read_bytes())
            assert until("READY=1") == ["WATCHDOG_USEC=20000000\nWATCHDOG=1"]
