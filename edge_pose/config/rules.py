"""Rules that more than one key, or the meaning of a text, must obey."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from edge_pose.config import Config
from edge_pose.errors import ConfigError
from edge_pose.log import redact

_PORTS: Final = {"mqtt": 1883, "mqtts": 8883}


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerAddress:
    """Where a broker listens."""

    host: str
    port: int
    tls: bool


def check_rules(config: Config, origins: Mapping[str, str]) -> None:
    """Refuse settings that contradict each other or cannot work anywhere."""
    _check_lens(config, origins)
    _check_secrets(config, origins)
    _check_topics(config, origins)
    if config.mqtt.broker is not None:
        broker_address(config.mqtt.broker)
    if (config.mqtt.certificate is None) != (config.mqtt.key is None):
        raise ConfigError("mqtt.certificate and mqtt.key belong together; give both or neither")


def _check_lens(config: Config, origins: Mapping[str, str]) -> None:
    lens = {
        "camera.fx_px": config.camera.fx_px,
        "camera.hfov_deg": config.camera.hfov_deg,
        "camera.intrinsics": config.camera.intrinsics,
    }
    given = [origins[name] for name, value in lens.items() if value is not None]
    if len(given) > 1:
        raise ConfigError(f"{' and '.join(given)} both describe the lens; give one of them")


def _check_secrets(config: Config, origins: Mapping[str, str]) -> None:
    source, origin = config.camera.source, origins["camera.source"]
    in_file = not origin.startswith(("-", "SOURCE", "EDGE_POSE_"))
    if "://" in source and urlsplit(source).password and not in_file:
        raise ConfigError(
            f"{origin} is {redact(source)} with a password in it, which others on this machine can "
            "read; leave it out and set camera.username and camera.password_file"
        )


def _check_topics(config: Config, origins: Mapping[str, str]) -> None:
    for name, text in (
        ("mqtt.root", config.mqtt.root),
        ("camera.name", config.camera.name),
        ("device.name", config.device.name),
    ):
        if not all(text.split("/")) or text.startswith("$") or any(bad in text for bad in "+#\0"):
            raise ConfigError(
                f"{origins[name]}: {name} is {text!r}; in a topic no level may be empty, contain "
                "+ or #, and the first may not begin with $"
            )
        if name != "mqtt.root" and "/" in text:
            raise ConfigError(f"{origins[name]}: {name} is {text!r}; wanted one level, without /")


def broker_address(text: str) -> BrokerAddress:
    """Read `host`, `host:port`, `[v6]:port`, with mqtt:// or mqtts:// in front or not."""
    try:
        parts = urlsplit(text if "://" in text else f"mqtt://{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or parts.scheme not in _PORTS or parts.path.strip("/") or parts.query or port == 0:
        raise ConfigError(
            f"mqtt.broker is {redact(text)!r}; wanted host or host:port with a port from 1 to "
            "65535, such as broker.local:1883 or mqtts://broker.local"
        )
    if parts.username is not None:
        raise ConfigError(
            f"mqtt.broker names {host} with a user in front; leave that out and set mqtt.username "
            "and mqtt.password_file"
        )
    return BrokerAddress(host=host, port=port or _PORTS[parts.scheme], tls=parts.scheme == "mqtts")


def secret(path: Path | None, *, name: str) -> str | None:
    """Read the first line of a secret's file."""
    if path is None:
        return None
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{name} names {path}, which cannot be read: {error}") from None
    if not lines or not lines[0]:
        raise ConfigError(f"{name} names {path}, whose first line is empty; write the secret there")
    return lines[0]
