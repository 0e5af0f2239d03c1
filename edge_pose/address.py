"""Where a broker is, how to get in, and under which topics we speak there; no network here."""

import ipaddress
import re
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal
from urllib.parse import unquote, urlsplit

from edge_pose.errors import ConfigError

Protocol = Literal["5", "3.1.1"]

PORT: Final = 1883
TLS_PORT: Final = 8883
SPARKPLUG: Final = "spBv1.0"
"""The namespace of Sparkplug B, the first level of all its topics."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """A broker and the credentials for it; a secret stays in its file until it is used."""

    host: str
    port: int = PORT
    protocol: Protocol = "5"
    username: str | None = None
    password_file: Path | None = None
    tls: bool = False
    ca_file: Path | None = None
    """Certificates to trust instead of the system's."""
    cert_file: Path | None = None
    key_file: Path | None = None

    @property
    def url(self) -> str:
        """For people and logs: no user and no password."""
        return f"{'mqtts' if self.tls else 'mqtt'}://{in_url(self.host)}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Topics:
    """The names of a camera's topics: `<root>/<device>/<cam>/…`."""

    root: str
    device: str
    cam: str

    def __post_init__(self) -> None:
        check_topic_prefix(self.root)
        for name, value in (("device", self.device), ("camera", self.cam)):
            if "/" in value:
                raise ConfigError(
                    f"the {name} name {value!r} contains a '/'; it is one level of the topic, "
                    "so write it without"
                )
            check_topic_prefix(value)

    @property
    def device_status(self) -> str:
        """`online` or, also by the last will, `offline`."""
        return f"{self.root}/{self.device}/status"

    @property
    def device_info(self) -> str:
        """What holds for the device."""
        return f"{self.root}/{self.device}/info"

    def camera(self, leaf: str) -> str:
        """Name a topic of the camera: `status`, `meta`, `pose`, `stats` or `person/<slot>`."""
        return f"{self.root}/{self.device}/{self.cam}/{leaf}"


def in_url(host: str) -> str:
    """Write a host as it stands in a URL: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


def family_of(host: str) -> socket.AddressFamily:
    """Tell what kind of socket listens at a host."""
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach the address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def names_this_machine(host: str) -> bool:
    """Tell whether a Host header names loopback.

    Foreign pages can point a name of theirs at loopback and read what is served there; the name
    betrays it.
    """
    try:
        asked = urlsplit(f"//{host}").hostname
    except ValueError:
        return False
    return asked is not None and is_loopback(asked)


@dataclass(frozen=True, slots=True, kw_only=True)
class SparkplugTopics:
    """The names of a Sparkplug B edge node and of its device, the camera."""

    group: str
    node: str
    device: str
    primary_host: str | None = None
    """The host application without which nothing is published."""

    def __post_init__(self) -> None:
        named = {"group": self.group, "node": self.node, "camera": self.device}
        if self.primary_host is not None:
            named["primary host"] = self.primary_host
        for name, value in named.items():
            if not value or re.search(r"[/+#\x00]", value):
                raise ConfigError(
                    f"the Sparkplug name of the {name} is {value!r}; write one level of a topic, "
                    "not empty and without '/', '+' and '#'"
                )

    def of_node(self, verb: Literal["NBIRTH", "NDEATH", "NCMD"]) -> str:
        """Name a topic of the edge node."""
        return f"{SPARKPLUG}/{self.group}/{verb}/{self.node}"

    def of_device(self, verb: Literal["DBIRTH", "DDATA", "DDEATH", "DCMD"]) -> str:
        """Name a topic of the camera."""
        return f"{SPARKPLUG}/{self.group}/{verb}/{self.node}/{self.device}"

    @property
    def host_state(self) -> str | None:
        """Where the primary host tells whether it is there."""
        return None if self.primary_host is None else f"{SPARKPLUG}/STATE/{self.primary_host}"


def check_topic_prefix(prefix: str) -> None:
    """Refuse what cannot stand at the head of a topic that one publishes to."""
    levels = prefix.split("/")
    odd = not prefix.isprintable() or re.search("[+#]", prefix)
    if not all(levels) or prefix.startswith("$") or odd:
        raise ConfigError(
            f"{prefix!r} cannot begin an MQTT topic; write levels joined by '/', none of them "
            "empty, without '+', '#' and control characters and not starting with '$', such as "
            "plant/line-1"
        )


def parse_broker(url: str, *, protocol: Protocol = "5") -> Broker:
    """Read `host`, `host:port`, `mqtt://[user@]host[:port]` or `mqtts://…`."""
    wanted = "write mqtt://host:1883, mqtts://host:8883 or mqtt://user@host"
    try:
        parts = urlsplit(url if "://" in url else f"mqtt://{url}")
        port = parts.port
    except ValueError as error:
        # Where it cannot be taken apart, nobody knows which part of it is a password.
        shown = "with an '@' in it is no address" if "@" in url else f"{url!r}: {error}"
        raise ConfigError(f"the broker address {shown}; {wanted}") from None
    if parts.password is not None:
        raise ConfigError(
            f"the address of the broker at {parts.hostname} contains a password, which other users "
            "of this machine could read; put it in a file and name that file as password_file"
        )
    if parts.scheme not in ("mqtt", "mqtts"):
        raise ConfigError(f"the broker address {url!r} begins with {parts.scheme!r}; {wanted}")
    if not parts.hostname or parts.path.strip("/") or parts.query:
        raise ConfigError(f"the broker address {url!r} is not a host and a port; {wanted}")
    tls = parts.scheme == "mqtts"
    return Broker(
        host=parts.hostname,
        port=port or (TLS_PORT if tls else PORT),
        protocol=protocol,
        username=None if parts.username is None else unquote(parts.username),
        tls=tls,
    )
