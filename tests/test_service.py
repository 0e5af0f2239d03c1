"""An administrator who asks about an installed camera means the folders of its service."""

from pathlib import Path

import pytest

from edge_pose.config.read import Effective, load
from edge_pose.config.service import for_administrator
from edge_pose.spool import history_settings, settings
from edge_pose.store import store_of

SECRETS = """
[device]
name = "edge"
[camera]
username = "eve"
password_file = "camera-password"
[mqtt]
broker = "mqtts://b"
username = "eve"
password_file = "mqtt-password"
cert_file = "client.pem"
key_file = "mqtt-key"
[model]
trusted_keys = "/etc/edge-pose/trusted-keys"
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "etc" / "edge-pose" / "line-3.toml"
    path.parent.mkdir(parents=True)
    path.write_text(SECRETS)
    return path


def read(path: Path) -> Effective:
    return load({}, environ={}, path=path)


def test_what_settings_leave_open_is_the_service_s(path: Path, tmp_path: Path) -> None:
    found = for_administrator(read(path), path, {"HOME": "/root"}, tmp_path)
    config, secrets = found.config, tmp_path / "etc" / "edge-pose" / "secrets"
    assert config.camera.password_file == secrets / "camera-password"
    assert config.mqtt.password_file == secrets / "mqtt-password"
    assert config.mqtt.key_file == secrets / "mqtt-key"
    assert config.mqtt.cert_file == Path("client.pem"), "not a secret, and not handed over as one"
    state = tmp_path / "var" / "lib" / "edge-pose" / "line-3"
    assert settings(config, {}).path == state / "edge-cam0.spool"
    assert history_settings(config, {}).path == state / "edge-cam0.history"
    store = store_of(config.model, {})
    assert store is not None
    assert store.folder == state / "models"


def test_the_file_may_be_named_as_anybody_names_files(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = for_administrator(read(path), path, {}, tmp_path)
    assert wanted != read(path)
    monkeypatch.chdir(path.parent)
    assert for_administrator(read(path), Path("line-3.toml"), {}, tmp_path) == wanted
    environ = {"EDGE_POSE_CONFIG": str(path)}
    assert for_administrator(read(path), None, environ, tmp_path) == wanted


def test_what_settings_name_is_what_is_meant(path: Path, tmp_path: Path) -> None:
    text = SECRETS.replace('"mqtt-', '"/run/mqtt-').replace('"camera-', '"keys/camera-')
    path.write_text(f'{text}store = "/srv/models"\n[spool]\nfolder = "/srv/spool"\n')
    found = read(path)
    assert for_administrator(found, path, {}, tmp_path) == found


def test_within_the_service_systemd_tells_and_other_settings_are_nobody_s(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = read(path)
    for given in ("STATE_DIRECTORY", "CREDENTIALS_DIRECTORY"):
        assert for_administrator(found, path, {given: "/x"}, tmp_path) == found
    monkeypatch.chdir(path.parent)
    assert for_administrator(found, None, {}, tmp_path) == found
    assert for_administrator(found, tmp_path / "line-3.toml", {}, tmp_path) == found
    assert for_administrator(found, path, {}) == found, "that is another machine's"
