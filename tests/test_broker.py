"""A broker for those who have none: reachable here, nowhere else, and gone with us."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from brokers import PATIENCE_S, listening
from edge_pose import broker as broker_module
from edge_pose.broker import embedded_broker, find_mosquitto, is_listening
from edge_pose.errors import BrokerError
from edge_pose.mqtt import Link, Subscription


@pytest.fixture(params=["mosquitto", "iotcore"])
def choose(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Make the program or the package the only broker of this machine."""
    wanted: str = request.param
    if wanted == "iotcore":
        hide_mosquitto(monkeypatch)
    return wanted


def hide_mosquitto(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(broker_module, "SYSTEM_FOLDERS", ())
    assert find_mosquitto() is None


def wait_until(true: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


def address_of_this_machine() -> str | None:
    """Find an address of ours that is not loopback; nothing is sent to find it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return None
        address: str = probe.getsockname()[0]
    return None if address.startswith("127.") else address


def test_a_message_comes_back_from_the_embedded_broker(choose: str) -> None:
    with embedded_broker() as broker:
        assert broker.protocol == {"mosquitto": "5", "iotcore": "3.1.1"}[choose]
        subscription = Subscription(broker, ["greeting/+"])
        try:
            assert subscription.receive() == Link(up=True, reason="Success")
        finally:
            subscription.close()


def test_the_embedded_broker_is_gone_after_us(choose: str) -> None:
    with embedded_broker() as broker:
        assert is_listening(broker)
    assert choose
    assert not is_listening(broker)


def test_the_embedded_broker_listens_on_loopback_only(choose: str) -> None:
    outside = address_of_this_machine()
    if outside is None:
        pytest.skip("this machine has no address but loopback")
    assert choose
    with embedded_broker() as broker, pytest.raises(OSError, match="refused"):
        socket.create_connection((outside, broker.port), 1.0)


def test_large_messages_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thirty-two people are 80 kB; rumqttd takes 20 unless told otherwise."""
    payload = "x" * 100_000
    hide_mosquitto(monkeypatch)
    with embedded_broker() as broker:
        monkeypatch.undo()
        with listening(broker) as listener:
            words = ["-h", broker.host, "-p", str(broker.port), "-V", "mqttv311", "-r", "-s"]
            subprocess.run(
                ["mosquitto_pub", *words, "-t", "large", "-q", "1"],
                input=payload.encode(),
                check=True,
            )
            assert listener.next().payload == payload


def test_the_embedded_broker_does_not_outlive_a_process_that_is_killed(
    tmp_path: Path,
) -> None:
    program = """
import sys
from edge_pose.broker import embedded_broker
with embedded_broker() as broker:
    print(broker.port, flush=True)
    sys.stdin.read()
"""
    child = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert child.stdout is not None
    port = int(child.stdout.readline())
    child.send_signal(signal.SIGKILL)
    child.communicate()

    def is_gone() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) != 0

    wait_until(is_gone)


def test_without_any_broker_to_start_the_way_out_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    hide_mosquitto(monkeypatch)
    monkeypatch.setattr(broker_module, "find_spec", lambda _name: None)
    with pytest.raises(BrokerError, match="apt-get install mosquitto"), embedded_broker():
        pass
