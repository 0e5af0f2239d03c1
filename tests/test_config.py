"""Settings merge by precedence, remember who set them, and refuse what nobody knows."""

import dataclasses
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from edge_pose.address import Broker
from edge_pose.config import Config
from edge_pose.config.read import Effective, Setting, keys, load, variable
from edge_pose.config.rules import broker, secret
from edge_pose.config.show import default_text, effective_text
from edge_pose.errors import ConfigError


def effective(
    toml: str = "",
    *,
    folder: Path,
    environ: Mapping[str, str] | None = None,
    **command_line: str,
) -> Effective:
    path = folder / "edge-pose.toml"
    path.write_text(toml, encoding="utf-8")
    told = {
        name.replace("__", "."): Setting(value=value, origin=f"--{name}")
        for name, value in command_line.items()
    }
    return load(told, environ=environ or {}, path=path)


def test_command_line_wins_over_environment_over_file_over_default(tmp_path: Path) -> None:
    toml = '[camera]\nsource = "file"\nname = "file"\nfps = 10\n'
    environ = {"EDGE_POSE_CAMERA_SOURCE": "environment", "EDGE_POSE_CAMERA_NAME": "environment"}
    found = effective(toml, folder=tmp_path, environ=environ, camera__source="argument")
    camera = found.config.camera
    assert (camera.source, camera.name, camera.fps) == ("argument", "environment", 10.0)
    assert camera.stale_s == Config().camera.stale_s
    assert found.origins["camera.source"] == "--camera__source"
    assert found.origins["camera.name"] == "EDGE_POSE_CAMERA_NAME"
    assert found.origins["camera.fps"] == f"{tmp_path / 'edge-pose.toml'} [camera] fps"
    assert found.origins["camera.stale_s"] == "default"


def test_settings_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().camera.source = "1"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("toml", "sentence"),
    [
        ("[camera]\nwidht_px = 3", "[camera] has no key 'widht_px'; did you mean 'width_px'?"),
        ("[camrea]\nfps = 3", "has no use for 'camrea'; did you mean 'camera'?"),
        ("camera = 3", "'camera' is a section; write [camera]"),
        ("[mqtt]\npassword = 'x'", "[mqtt] has no key 'password'; did you mean 'password_file'?"),
        ("[camera]\nfps = 'fast'", "camera.fps is 'fast'; wanted a number"),
        ("[camera]\nwait = 1", "camera.wait is 1; wanted true or false"),
        ("[model]\nmax_people = true", "model.max_people is True; wanted a whole number"),
        ("[model]\nmax_people = 0", "model.max_people is 0; wanted at least 1 and at most 100"),
        ("[output]\nmessages = 'xml'", "output.messages is 'xml'; wanted 'jsonl' or 'none'"),
        ("[mqtt]\nroot = 'plant/#'", "'plant/#' cannot begin an MQTT topic"),
        ("[camera]\nname = 'a/b'", "the camera name 'a/b' contains a '/'"),
        ("[mqtt]\nbroker = 'host:99999'", "the broker address 'host:99999': Port out of range"),
        ("[camera]\nfx_px = 900\nhfov_deg = 60", "both describe the lens"),
        ("[mqtt]\nkey_file = 'k'", "mqtt.cert_file and mqtt.key_file belong together"),
        ("[mqtt]\nbroker = 'b'\npassword_file = 'p'", "for the broker and no user"),
        ("[camera]\nsource = 'rtsp://c/1'\npassword_file = 'p'", "for the camera and no user"),
        ("[metrics]\nhost = '0.0.0.0'", "metrics.host is '0.0.0.0', which others could reach"),
        ("[events.zones.a]\npicture = 3", "events.zones has a zone 'a' with the corners 3; wanted"),
        ("[tags]\njoints = ['noes']", "tags.joints names a joint 'noes'; did you mean 'nose'?"),
        ("[output]\njoints = 3", "output.joints is 3; wanted names of joints"),
        ("[camera", "is not TOML"),
    ],
)
def test_a_wrong_file_is_refused_with_what_and_where(
    toml: str, sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as refused:
        effective(toml, folder=tmp_path)
    assert sentence in str(refused.value)
    if sentence.startswith(("[", "has", "is not")) or "; wanted" in sentence:
        assert str(tmp_path / "edge-pose.toml") in str(refused.value)


def test_an_unknown_variable_of_ours_is_refused_with_a_suggestion(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'EDGE_POSE_MQTT_BROKER'"):
        effective(folder=tmp_path, environ={"EDGE_POSE_MQTT_BROKR": "x", "HOME": "/"})


def test_a_missing_file_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no configuration file .*edge-pose config --write"):
        load({}, environ={}, path=tmp_path / "none.toml")


def test_the_environment_may_name_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text("[model]\nthreads = 3\n", encoding="utf-8")
    assert load({}, environ={"EDGE_POSE_CONFIG": str(path)}).config.model.threads == 3


def test_the_first_camera_may_be_written_as_a_number(tmp_path: Path) -> None:
    assert effective("[camera]\nsource = 0", folder=tmp_path).config.camera.source == "0"


def test_a_password_on_the_command_line_is_refused_and_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"camera\.password_file") as refused:
        effective(folder=tmp_path, camera__source="rtsp://eve:s3cret@cam/1")
    assert "s3cret" not in str(refused.value)


def test_a_password_in_the_file_is_taken_and_never_printed(tmp_path: Path) -> None:
    found = effective('[camera]\nsource = "rtsp://eve:s3cret@cam/1"', folder=tmp_path)
    assert found.config.camera.source == "rtsp://eve:s3cret@cam/1"
    assert "s3cret" not in effective_text(found)
    assert "rtsp://***@cam/1" in effective_text(found)


def test_the_printed_settings_name_every_key_with_its_origin(tmp_path: Path) -> None:
    text = effective_text(effective("[model]\nthreads = 2", folder=tmp_path))
    assert [line.partition("=")[0].strip() for line in text.splitlines()] == list(keys())
    (line,) = [line for line in text.splitlines() if line.startswith("model.threads")]
    assert line.split("=", 1)[1].split() == [
        "2", "#", str(tmp_path / "edge-pose.toml"), "[model]", "threads",
    ]  # fmt: skip


def test_the_default_file_changes_nothing_and_knows_every_key(tmp_path: Path) -> None:
    text = default_text()
    assert effective(text, folder=tmp_path).config == Config()
    for name in keys():
        assert variable(name) in text


def test_the_default_file_with_its_examples_uncommented_is_accepted(tmp_path: Path) -> None:
    lens = ("hfov_deg", "intrinsics", "cert_file", "key_file", "bundle")
    lines = [
        line[1:] if line.startswith("#") and not line.startswith("# ") else line
        for line in default_text().splitlines()
        if not line.startswith(tuple(f"#{name} =" for name in (*lens, "broker")))
    ]
    assert "source = " in "\n".join(lines)
    effective("\n".join(lines), folder=tmp_path)


def test_the_broker_is_put_together_from_its_section(tmp_path: Path) -> None:
    toml = '[mqtt]\nbroker = "mqtts://plant.local"\nusername = "eve"\nprotocol = "3.1.1"\n'
    found = broker(effective(toml, folder=tmp_path).config)
    assert found == Broker(
        host="plant.local", port=8883, tls=True, username="eve", protocol="3.1.1"
    )
    assert broker(effective(folder=tmp_path).config) is None


def test_the_user_of_the_broker_may_stand_in_its_address(tmp_path: Path) -> None:
    toml = '[mqtt]\nbroker = "mqtt://user%40plant@b"\npassword_file = "p"\n'
    found = broker(effective(toml, folder=tmp_path).config)
    assert found is not None
    assert (found.username, found.url) == ("user@plant", "mqtt://b:1883")


def test_a_password_without_a_user_is_refused_only_where_it_would_be_used(tmp_path: Path) -> None:
    effective("[mqtt]\npassword_file = 'p'\n[camera]\npassword_file = 'p'", folder=tmp_path)
    effective("[camera]\nsource = 'rtsp://eve@c/1'\npassword_file = 'p'", folder=tmp_path)
    effective("[camera]\nsource = '//[a folder'\npassword_file = 'p'", folder=tmp_path)


def test_zones_come_from_the_file_or_as_json_from_the_environment(tmp_path: Path) -> None:
    toml = "[events.zones]\npress = {floor_m = [[0, 1], [1, 1], [1, 2.5]]}\n"
    table = '{"door": {"picture": [[0, 0], [1, 0], [1, 1]]}}'
    found = effective(toml, folder=tmp_path)
    (press,) = found.config.events.zones
    assert press.corners == ((0.0, 1.0), (1.0, 1.0), (1.0, 2.5))
    assert '"press"' in effective_text(found)
    (door,) = effective(
        toml, folder=tmp_path, environ={"EDGE_POSE_EVENTS_ZONES": table}
    ).config.events.zones
    assert door.name == "door"


def test_a_secret_is_the_first_line_of_its_file(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("s3cret\n", encoding="utf-8")
    assert secret(path, name="mqtt.password_file") == "s3cret"
    path.write_text("\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="first line is empty"):
        secret(path, name="mqtt.password_file")
    with pytest.raises(ConfigError, match="cannot be read"):
        secret(tmp_path / "none", name="mqtt.password_file")


def test_reading_settings_needs_neither_opencv_nor_numpy() -> None:
    code = "import edge_pose.config.read, sys; print({'cv2', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_bare_name_of_a_secret_is_sought_where_systemd_put_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mqtt-password").write_text("s3cret\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert secret(Path("mqtt-password"), name="mqtt.password_file") == "s3cret"
    toml = '[mqtt]\nbroker = "mqtts://b"\ncert_file = "/etc/c.pem"\nkey_file = "mqtt-key"\n'
    found = broker(effective(toml, folder=tmp_path).config)
    assert found is not None
    assert (found.cert_file, found.key_file) == (Path("/etc/c.pem"), tmp_path / "mqtt-key")
    with pytest.raises(ConfigError, match="/elsewhere/mqtt-password, which cannot be read"):
        secret(Path("/elsewhere/mqtt-password"), name="mqtt.password_file")
