"""Rules that more than one key, or the meaning of a text, must obey."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from edge_pose.address import Broker, Topics, check_topic_prefix, parse_broker
from edge_pose.config import Config
from edge_pose.errors import ConfigError
from edge_pose.log import redact


def check_rules(config: Config, origins: Mapping[str, str]) -> None:
    """Refuse settings that contradict each other or cannot work anywhere."""
    _check_lens(config, origins)
    _check_secrets(config, origins)
    topics(config)
    check_topic_prefix(config.homeassistant.prefix)
    broker(config)
    if (config.mqtt.cert_file is None) != (config.mqtt.key_file is None):
        raise ConfigError("mqtt.cert_file and mqtt.key_file belong together; give both or neither")


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


def topics(config: Config) -> Topics:
    """Name the topics of this camera."""
    return Topics(root=config.mqtt.root, device=config.device.name, cam=config.camera.name)


def broker(config: Config) -> Broker | None:
    """Give the broker and the way in; None when nothing is to be published."""
    mqtt = config.mqtt
    if mqtt.broker is None:
        return None
    told = parse_broker(mqtt.broker, protocol=mqtt.protocol)
    return replace(
        told,
        username=mqtt.username or told.username,
        password_file=mqtt.password_file,
        ca_file=mqtt.ca_file,
        cert_file=mqtt.cert_file,
        key_file=mqtt.key_file,
    )


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
