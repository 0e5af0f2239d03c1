"""The unit that ships is one that systemd takes, and its settings are ones that we take."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from edge_pose.appliance import MODEL_LIMIT_S
from edge_pose.config import Config
from edge_pose.config.read import load

FOLDER = Path(__file__).resolve().parents[1] / "systemd"
PROGRAM = "/opt/edge-pose/bin/edge-pose"
needs_analyze = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="needs systemd-analyze"
)


def test_the_settings_that_ship_with_the_unit_are_accepted() -> None:
    config = load({}, environ={}, path=FOLDER / "edge-pose.toml").config
    assert config.camera.wait, "a service waits for a camera that is plugged in later"
    assert config.metrics.enabled


def test_what_the_settings_offer_as_comments_is_accepted_too(tmp_path: Path) -> None:
    text = re.sub(r"(?m)^#(?=\[|\w+ = )", "", (FOLDER / "edge-pose.toml").read_text())
    path = tmp_path / "line-3.toml"
    path.write_text(text)
    config = load({}, environ={}, path=path).config
    assert config != load({}, environ={}, path=FOLDER / "edge-pose.toml").config
    assert config.mqtt.password_file == Path("mqtt-password")
    assert config.commands.enabled
    assert config.model.trusted_keys == Path("/etc/edge-pose/trusted-keys")
    for section in vars(type(Config()))["__dataclass_fields__"]:
        assert f"[{section}]" in text, "the file shows every section"


def test_codes_that_a_restart_cannot_mend_are_not_restarted() -> None:
    assert "RestartPreventExitStatus=2 78" in (FOLDER / "edge-pose@.service").read_text()


def test_a_model_may_take_as_long_in_a_reload_as_at_a_start_with_a_gpu() -> None:
    assert f"TimeoutStartSec={MODEL_LIMIT_S / 60:.0f}min" in (FOLDER / "gpu.conf").read_text()


def laid_out(folder: Path, *, gpu: bool) -> tuple[Path, dict[str, str]]:
    """Put the unit where systemd-analyze finds it, with a program that exists."""
    unit = (FOLDER / "edge-pose@.service").read_text()
    assert PROGRAM in unit
    instance = folder / "edge-pose@line-3.service"
    instance.write_text(unit.replace(PROGRAM, "/bin/true"))
    if gpu:
        beside = folder / "edge-pose@.service.d"
        beside.mkdir()
        dropped = (FOLDER / "gpu.conf").read_text()
        (beside / "gpu.conf").write_text(dropped.replace(PROGRAM, "/bin/true"))
    return instance, {**os.environ, "SYSTEMD_UNIT_PATH": f"{folder}:"}


@needs_analyze
@pytest.mark.parametrize("gpu", [False, True])
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path, gpu: bool) -> None:  # noqa: FBT001
    instance, environ = laid_out(tmp_path, gpu=gpu)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(instance)],
        capture_output=True,
        text=True,
        check=False,
        env=environ,
    )
    assert (done.returncode, done.stderr.strip()) == (0, "")


@needs_analyze
@pytest.mark.parametrize(("gpu", "tenths"), [(False, 20), (True, 21)])
def test_the_unit_may_do_little_more_than_its_work(
    tmp_path: Path,
    gpu: bool,  # noqa: FBT001
    tenths: int,
) -> None:
    instance, environ = laid_out(tmp_path, gpu=gpu)
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", f"--threshold={tenths}", str(instance)],
        capture_output=True,
        text=True,
        check=False,
        env=environ,
    )
    assert done.returncode == 0, done.stdout
    assert ("char-nvidia" in done.stdout) == gpu
