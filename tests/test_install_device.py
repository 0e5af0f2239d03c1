"""What installs the appliance on a device: it can be run again, keeps settings, and cleans up."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from edge_pose import __version__
from edge_pose.config.read import load
from edge_pose.config.rules import topics

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "scripts" / "install-device"


def install(*words: str | Path, cwd: Path = ROOT) -> "subprocess.CompletedProcess[str]":
    """Run it; nothing is fetched, so what the package needs is not installed."""
    return subprocess.run(
        [str(SCRIPT), *map(str, words)],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PIP_NO_INDEX": "1", "PIP_NO_DEPS": "1"},
    )


def files(root: Path) -> set[str]:
    """Everything but the inside of the environment."""
    names = {p.relative_to(root).as_posix() for p in root.rglob("*") if not p.is_dir()}
    return {name for name in names if not name.startswith("opt/edge-pose/")}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("100 % wheels")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    return next(folder.glob("*.whl"))


@pytest.mark.slow
def test_it_installs_again_without_touching_settings_and_removes_what_it_made(
    wheel: Path, tmp_path: Path
) -> None:
    words = ("--root", tmp_path, "--kind", "jetson", "--package", wheel)
    done = install(*words, "line-3")
    assert done.returncode == 0, done.stderr
    assert "systemctl enable --now edge-pose@line-3" in done.stdout
    settings = tmp_path / "etc" / "edge-pose" / "line-3.toml"
    assert files(tmp_path) == {
        "etc/edge-pose/line-3.toml",
        "etc/systemd/system/edge-pose@.service",
        "etc/systemd/system/edge-pose@.service.d/gpu.conf",
    }
    assert (settings.parent / "secrets").stat().st_mode & 0o777 == 0o700
    program = tmp_path / "opt" / "edge-pose" / "bin" / "edge-pose"
    first = program.read_text().splitlines()[0]
    assert first.startswith("#!/opt/edge-pose/bin/python"), "as the machine will see it"
    said = subprocess.run(
        [program.with_name("python"), "-m", "edge_pose", "--version"],
        cwd=tmp_path,
        env={name: text for name, text in os.environ.items() if name != "PYTHONPATH"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout == f"edge-pose {__version__}\n"

    text = (ROOT / "systemd" / "edge-pose.toml").read_text()
    assert settings.read_text() == text.replace('"cam0"', '"line-3"')
    settings.write_text("# mine\n")
    (tmp_path / "etc/systemd/system/edge-pose@.service").write_text("# of a release before\n")
    done = install(*words, "line-4")
    assert done.returncode == 0, done.stderr
    assert settings.read_text() == "# mine\n"
    named = load({}, environ={}, path=settings.with_name("line-4.toml")).config
    assert topics(named).cam == "line-4", "no two cameras publish on the same topics"
    assert "Type=notify" in (tmp_path / "etc/systemd/system/edge-pose@.service").read_text()

    done = install("--root", tmp_path, "--uninstall")
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "opt" / "edge-pose").exists()
    assert files(tmp_path) == {"etc/edge-pose/line-3.toml", "etc/edge-pose/line-4.toml"}
    assert install("--root", tmp_path, "--uninstall", "--purge").returncode == 0
    assert files(tmp_path) == set()


def test_a_dry_run_tells_and_does_nothing(tmp_path: Path) -> None:
    done = install("--root", tmp_path, "--kind", "pc", "--dry-run", "line-3")
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []
    assert f"-m venv {tmp_path}/opt/edge-pose" in done.stdout
    assert f"edge-pose[opencv,signed] @ file://{ROOT}" in done.stdout
    assert "gpu.conf" not in done.stdout


def test_a_release_from_an_index_is_named_as_pip_does(tmp_path: Path) -> None:
    words = ("--root", tmp_path, "--kind", "jetson", "--dry-run")
    done = install(*words, "--package", "edge-pose==0.2.0", "line-3")
    assert "install --constraint constraints.txt edge-pose[gpu,signed]==0.2.0" in done.stdout


def test_paths_are_meant_from_where_one_stands(tmp_path: Path) -> None:
    words = ("--root", "image", "--kind", "pc", "--dry-run", "--package", "./a.whl", "line-3")
    done = install(*words, cwd=tmp_path)
    assert f"file://{tmp_path}/a.whl" in done.stdout
    assert f"-m venv {tmp_path}/image/opt/edge-pose" in done.stdout


def test_a_path_with_a_blank_is_one_path(tmp_path: Path) -> None:
    folder = tmp_path / "100 % mine"
    folder.mkdir()
    words = ("--root", "image", "--kind", "pc", "--dry-run", "--package", "./a.whl", "line-3")
    done = install(*words, cwd=folder)
    assert f"edge-pose[opencv,signed] @ file://{tmp_path}/100%20%25%20mine/a.whl" in done.stdout


def test_somebody_else_s_folder_is_not_removed(tmp_path: Path) -> None:
    mine = tmp_path / "opt" / "edge-pose" / "mine.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("x")
    assert install("--root", tmp_path, "--uninstall", "--purge").returncode == 0
    assert mine.exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "name the camera, such as line-3"),
        (("line 3",), "may only have letters"),
        (("--kind", "phone", "line-3"), "known are pc and jetson"),
        (("--knid", "pc", "line-3"), "nobody knows --knid"),
        (("--root",), "--root needs a value"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_done(
    tmp_path: Path, words: tuple[str, ...], sentence: str
) -> None:
    done = install("--dry-run", *words)
    assert (done.returncode, done.stdout) == (64, "")
    assert sentence in done.stderr
    assert list(tmp_path.iterdir()) == []
