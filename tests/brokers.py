"""A real mosquitto that can be stopped and started, and a subscriber that we did not write."""

import getpass
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from edge_pose.address import Broker
from edge_pose.broker import find_mosquitto, free_port, is_listening

PATIENCE_S = 60.0


@dataclass
class Mosquitto:
    """The broker as a child process; what it retained is forgotten when it stops."""

    broker: Broker
    settings: Path
    child: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        """Run until `stop`; returns when it listens."""
        program = find_mosquitto()
        assert program is not None, "install mosquitto"
        self.child = subprocess.Popen(
            [program, "-c", str(self.settings)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline_s = time.monotonic() + PATIENCE_S
        while not is_listening(self.broker):
            assert time.monotonic() < deadline_s
            assert self.child.poll() is None, "mosquitto refused its settings"
            time.sleep(0.02)

    def stop(self) -> None:
        """End it without a goodbye."""
        if self.child is not None:
            self.child.kill()
            self.child.wait()
            self.child = None


def prepared_mosquitto(folder: Path, *settings: str) -> Mosquitto:
    """Write its settings for a free port of loopback; it is not started yet."""
    port = free_port()
    path = folder / "mosquitto.conf"
    lines = [
        f"listener {port} 127.0.0.1",
        "persistence false",
        f"user {getpass.getuser()}",  # as root it would become somebody who cannot read the files
        *(settings or ("allow_anonymous true",)),
    ]
    path.write_text("\n".join(lines) + "\n")
    return Mosquitto(broker=Broker(host="127.0.0.1", port=port), settings=path)


def certificates(folder: Path) -> None:
    """Make a certificate for 127.0.0.1 that only those trust who are told of it."""
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    paths = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "1",
            *subject,
            *paths,
        ],
        check=True,
        capture_output=True,
    )
    (folder / "key.pem").chmod(0o644)


@dataclass(frozen=True)
class Heard:
    """A message as mosquitto_sub tells it."""

    retained: bool
    qos: int
    expiry_s: str
    content_type: str
    topic: str
    payload: str


class Listener:
    """mosquitto_sub, reading what is published."""

    def __init__(self, child: "subprocess.Popen[str]") -> None:
        self._child = child

    def next(self, leaf: str = "") -> Heard:
        """Wait for the next message of which the topic ends so."""
        assert self._child.stdout is not None
        for line in self._child.stdout:
            retained, qos, expiry_s, content_type, topic, payload = line.rstrip("\n").split("|", 5)
            if topic.endswith(leaf):
                return Heard(retained == "1", int(qos), expiry_s, content_type, topic, payload)
        raise AssertionError(f"mosquitto_sub ended before it heard of {leaf!r}")

    def until(self, topic: str, payload: str) -> list[Heard]:
        """Give everything that comes before that message."""
        heard = []
        while (last := self.next()).topic != topic or last.payload != payload:
            heard.append(last)
        return heard


class Reader:
    """A client that comes back after every death of the broker, which mosquitto_sub does not."""

    def __init__(self, broker: Broker, topic: str) -> None:
        self._heard: SimpleQueue[str] = SimpleQueue()
        self._client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda client, *_: client.subscribe(topic, qos=1)
        self._client.on_message = lambda _c, _u, heard: self._heard.put(heard.payload.decode())
        self._client.connect_async(broker.host, broker.port, keepalive=5)
        self._client.loop_start()

    def next(self) -> str:
        """Wait for the payload of the next message."""
        return self._heard.get(timeout=PATIENCE_S)

    def close(self) -> None:
        """Leave."""
        self._client.disconnect()
        self._client.loop_stop()


@contextmanager
def listening(broker: Broker, topic: str = "#", *words: str) -> Iterator[Listener]:
    """Subscribe with mosquitto's own client while the context lasts."""
    version = {"5": "mqttv5", "3.1.1": "mqttv311"}[broker.protocol]
    command = ["mosquitto_sub", "-h", broker.host, "-p", str(broker.port), "-V", version]
    patience = ["-W", str(int(PATIENCE_S))]
    child = subprocess.Popen(
        [*command, "-t", topic, "-F", "%r|%q|%E|%C|%t|%p", *patience, *words],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Listener(child)
    finally:
        # mosquitto_sub, told to end just as a message comes, was seen to wait for ever.
        child.kill()
        child.wait()
        assert child.stdout is not None
        child.stdout.close()
