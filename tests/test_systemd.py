"""The unit that ships is one that systemd takes, and its settings are ones that we take."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from edge_pose.config.read import load

FOLDER = Path(__file__).resolve().parents[1] / "systemd"


def test_the_settings_that_ship_with_the_unit_are_accepted() -> None:
    config = load({}, environ={}, path=FOLDER / "edge-pose.toml").config
    assert config.camera.wait, "a service waits for a camera that is plugged in later"


def test_the_settings_in_comments_are_accepted_too(tmp_path: Path) -> None:
    path = tmp_path / "line.toml"
    text = (FOLDER / "edge-pose.toml").read_text()
    path.write_text(re.sub(r"(?m)^#(?=\[|[a-z_]+ = )", "", text))
    config = load({}, environ={}, path=path).config
    assert config.commands.enabled
    assert config.model.trusted_keys == Path("/etc/edge-pose/trusted-keys")


def test_codes_that_a_restart_cannot_mend_are_not_restarted() -> None:
    assert "RestartPreventExitStatus=2 78" in (FOLDER / "edge-pose@.service").read_text()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    unit = (FOLDER / "edge-pose@.service").read_text()
    program = "/opt/edge-pose/bin/edge-pose"
    assert program in unit
    instance = tmp_path / "edge-pose@line-3.service"
    instance.write_text(unit.replace(program, "/bin/true"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(instance)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr.strip()) == (0, "")
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=40", str(instance)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
