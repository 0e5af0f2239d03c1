"""Rules that more than one key, or the meaning of a text, must obey."""

import os
from collections.abc import Mapping
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from urllib.parse import urlsplit

from edge_pose.address import (
    Broker,
    SparkplugTopics,
    Topics,
    check_topic_prefix,
    is_loopback,
    parse_broker,
)
from edge_pose.config import COMMANDS, Config
from edge_pose.errors import ConfigError
from edge_pose.log import redact
from edge_pose.skeleton import JOINTS


def check_rules(config: Config, origins: Mapping[str, str]) -> None:
    """Refuse settings that contradict each other or cannot work anywhere."""
    _check_lens(config, origins)
    _check_model(config, origins)
    _check_camera(config, origins)
    _check_secrets(config, origins)
    _check_metrics(config, origins)
    _check_commands(config, origins)
    if not is_loopback(config.view.host):
        raise ConfigError(
            f"{origins['view.host']}: view.host is {config.view.host}, where others could see who "
            "is where, since the page knows no password; wanted loopback such as 127.0.0.1, which "
            "`ssh -L` reaches from elsewhere"
        )
    topics(config)
    check_topic_prefix(config.homeassistant.prefix)
    broker(config)
    _check_users(config, origins)
    _check_sparkplug(config)
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


def _check_model(config: Config, origins: Mapping[str, str]) -> None:
    if config.model.tier is not None and config.model.bundle is not None:
        raise ConfigError(
            f"{origins['model.tier']} and {origins['model.bundle']} both name a model; give one"
        )


def _check_camera(config: Config, origins: Mapping[str, str]) -> None:
    source = config.camera.source
    try:
        _ = "://" in source and urlsplit(source).port
    except ValueError as error:
        # Where it cannot be taken apart, nobody knows which part of it is a password.
        shown = "the camera's address" if "@" in source else f"{source} ({error})"
        raise ConfigError(
            f"{origins['camera.source']}: {shown} is no address; write rtsp://host:port/path, and "
            "a user and a password in camera.username and camera.password_file"
        ) from None


def _check_secrets(config: Config, origins: Mapping[str, str]) -> None:
    source, origin = config.camera.source, origins["camera.source"]
    in_file = not origin.startswith(("-", "SOURCE", "EDGE_POSE_"))
    if "://" in source and urlsplit(source).password and not in_file:
        raise ConfigError(
            f"{origin} is {redact(source)} with a password in it, which others on this machine can "
            "read; leave it out and set camera.username and camera.password_file"
        )


def _check_users(config: Config, origins: Mapping[str, str]) -> None:
    """Refuse a password without the user whose it is."""
    camera, told = config.camera, broker(config)
    is_secret = camera.password_file is not None and "://" in camera.source
    if is_secret and not (camera.username or urlsplit(camera.source).username):
        raise ConfigError(
            f"{origins['camera.password_file']}: there is a password for the camera and no user; "
            "write the user in camera.username, or before an '@' in the address"
        )
    if told is not None and told.password_file is not None and not told.username:
        raise ConfigError(
            f"{origins['mqtt.password_file']}: there is a password for the broker and no user; "
            "write the user in mqtt.username, or before an '@' in the address"
        )


def _check_metrics(config: Config, origins: Mapping[str, str]) -> None:
    host = config.metrics.host
    if not is_loopback(host):
        raise ConfigError(
            f"{origins['metrics.host']}: metrics.host is {host!r}, which others could reach; "
            "wanted a loopback address such as 127.0.0.1, with the site's proxy before it where "
            "figures must leave the machine"
        )


def _check_commands(config: Config, origins: Mapping[str, str]) -> None:
    if unknown := sorted(set(config.commands.allow.split()) - set(COMMANDS)):
        raise ConfigError(
            f"{origins['commands.allow']}: commands.allow names {', '.join(unknown)}; "
            f"known are {', '.join(COMMANDS)}"
        )
    if config.commands.enabled and config.mqtt.broker is None:
        raise ConfigError(
            f"{origins['commands.enabled']}: commands come over MQTT; name a broker in mqtt.broker"
        )


def _check_sparkplug(config: Config) -> None:
    if not config.sparkplug.enabled:
        return
    sparkplug_topics(config)
    sparkplug_joints(config)
    if config.mqtt.broker is None:
        raise ConfigError(
            "sparkplug.enabled is true and there is no broker; name one in mqtt.broker or --broker"
        )


def sparkplug_topics(config: Config) -> SparkplugTopics:
    """Name the edge node, and this camera as its device."""
    return SparkplugTopics(
        group=config.sparkplug.group,
        node=config.sparkplug.node or config.device.name,
        device=config.camera.name,
        primary_host=config.sparkplug.primary_host,
    )


def sparkplug_joints(config: Config) -> tuple[str, ...]:
    """Read the joints that metrics tell of, in the order of the skeleton."""
    if config.sparkplug.joints == "all":
        return JOINTS
    wanted = [name.strip() for name in config.sparkplug.joints.split(",")]
    for name in wanted:
        if name not in JOINTS:
            hint = get_close_matches(name, JOINTS, n=1)
            advice = f"did you mean {hint[0]!r}?" if hint else f"known are {', '.join(JOINTS)}"
            raise ConfigError(f"sparkplug.joints names {name!r}, which is no joint; {advice}")
    return tuple(name for name in JOINTS if name in wanted)


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
        key_file=None if mqtt.key_file is None else credential(mqtt.key_file),
    )


def credential(path: Path) -> Path:
    """Seek a bare file name among the credentials that systemd handed over, where it did."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    return Path(folder) / path if folder and len(path.parts) == 1 else path


def secret(path: Path | None, *, name: str) -> str | None:
    """Read the first line of a secret's file."""
    if path is None:
        return None
    path = credential(path)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{name} names {path}, which cannot be read: {error}") from None
    if not lines or not lines[0]:
        raise ConfigError(f"{name} names {path}, whose first line is empty; write the secret there")
    return lines[0]
