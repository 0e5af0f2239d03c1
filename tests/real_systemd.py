"""A systemd of our own: PID 1 of its own namespaces, with /etc, /var, /run and /opt of its own.

The unit runs in it as it ships.  Nothing of the machine changes; what ran in there ends with it.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = Path("/lib/systemd/systemd")
TARGETS = ("basic", "sysinit", "shutdown", "network-online", "time-sync", "multi-user")
JOURNAL = ("systemd-journald.service", "systemd-journald.socket", "systemd-journald-dev-log.socket")
PATIENCE_S = 60.0
BOOT = r"""
set -eu
mount --make-rprivate /
mount -t proc proc /proc
mount -t tmpfs -o mode=755 tmpfs "$STAGE"
mkdir -p "$STAGE/etc" "$STAGE/python" "$STAGE/packages" "$STAGE/source"
cp -a /etc/. "$STAGE/etc"
mount --bind "$BASE" "$STAGE/python"
mount --bind "$PACKAGES" "$STAGE/packages"
mount --bind "$SOURCE" "$STAGE/source"
cp -a "$GIVEN" "$STAGE/given"
chmod -R a+rX "$STAGE/given"
mount --bind "$STAGE/etc" /etc
for folder in /var /run /opt; do mount -t tmpfs -o mode=755 tmpfs "$folder"; done
mkdir -p /var/lib /var/cache /var/log /run/lock /opt/edge-pose
mount --rbind "$STAGE" /opt/edge-pose
rm -rf /etc/systemd
cp -a "$STAGE/given/etc/." /etc
mkdir -p /opt/edge-pose/bin
cp "$STAGE/given/edge-pose" /opt/edge-pose/bin/edge-pose
umount -R /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount --make-rshared /
export SYSTEMD_UNIT_PATH=/etc/systemd/system container=edge-pose-test
exec "$PROGRAM" --system --unit=multi-user.target --log-target=journal --show-status=no
"""


def _control_groups() -> Path | None:
    """Where control groups of version 2 can be made."""
    for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines():
        _, place, kind, *_ = line.split()
        if kind == "cgroup2" and os.access(place, os.W_OK):
            return Path(place)
    return None


def why_not() -> str | None:
    """Say why no systemd can be started here; None where it can."""
    if os.geteuid() != 0:
        return "only root may make a systemd of its own"
    if not PROGRAM.exists() or shutil.which("nsenter") is None:
        return "there is no systemd, or no nsenter"
    if _control_groups() is None:
        return "there is no cgroup2 that may be written to"
    probe = ["unshare", "--mount", "--pid", "--fork", "--cgroup", "--ipc", "--uts", "true"]
    done = subprocess.run(probe, capture_output=True, text=True, check=False)
    return f"no namespaces: {done.stderr.strip()}" if done.returncode else None


needs_systemd = pytest.mark.skipif((_reason := why_not()) is not None, reason=_reason or "")


@dataclass(frozen=True)
class Systemd:
    """What can be asked of it."""

    pid: int

    def run(self, *words: str) -> str:
        """Run a command beside it; gives what it printed, also when it failed."""
        enter = ["nsenter", "-t", str(self.pid), "-m", "-p", "-C", "-i", "-u", "--"]
        done = subprocess.run(
            [*enter, *words], capture_output=True, text=True, check=False, timeout=PATIENCE_S
        )
        return done.stdout + done.stderr

    def show(self, unit: str, name: str) -> str:
        """Give a property of a unit."""
        return self.run("systemctl", "show", "--value", f"--property={name}", unit).strip()

    def until(self, unit: str, name: str, holds: Callable[[str], bool]) -> str:
        """Wait for what a property becomes."""
        deadline_s = time.monotonic() + PATIENCE_S
        while not holds(value := self.show(unit, name)):
            assert time.monotonic() < deadline_s, f"{name} is {value}\n{self.journal(unit)}"
            time.sleep(0.1)
        return value

    def journal(self, unit: str, *words: str) -> str:
        """Give what the unit wrote, and what systemd wrote of it, once the journal has it all."""
        self.run("journalctl", "--sync")
        return self.run("journalctl", "--no-pager", f"--unit={unit}", "--output=cat", *words)


def _give(folder: Path, etc: dict[str, str]) -> Path:
    """Lay out what systemd finds: the unit as it ships, targets, a journal, files of the test."""
    given = folder / "given"
    units = given / "etc" / "systemd" / "system"
    units.mkdir(parents=True)
    for target in TARGETS:
        (units / f"{target}.target").write_text("[Unit]\nDefaultDependencies=no\n")
    for unit in JOURNAL:
        shutil.copy(Path("/usr/lib/systemd/system") / unit, units)
    (units / "multi-user.target").write_text(
        "[Unit]\nDefaultDependencies=no\nWants=systemd-journald.service\n"
    )
    (given / "etc" / "systemd" / "journald.conf").write_text("[Journal]\nReadKMsg=no\nAudit=no\n")
    shutil.copy(ROOT / "systemd" / "edge-pose@.service", units)
    for name, text in etc.items():
        path = given / "etc" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    program = given / "edge-pose"
    python = Path("/opt/edge-pose/python") / Path(sys.executable).resolve().relative_to(
        Path(sys.base_prefix).resolve()
    )
    program.write_text(
        "#!/bin/sh\n"
        "export LD_LIBRARY_PATH=/opt/edge-pose/python/lib PYTHONDONTWRITEBYTECODE=1\n"
        "export PYTHONPATH=/opt/edge-pose/source:/opt/edge-pose/packages\n"
        f'exec {python} -m edge_pose "$@"\n'
    )
    program.chmod(0o755)
    return given


@contextmanager
def booted(folder: Path, etc: dict[str, str], *, beside: Path | None = None) -> Iterator[Systemd]:
    """Start it, with files in /etc, and with copies in /opt/edge-pose/given/beside."""
    groups = _control_groups()
    assert groups is not None
    given, stage = _give(folder, etc), folder / "stage"
    stage.mkdir()
    if beside is not None:
        shutil.copytree(beside, given / "beside")
    group = groups / f"edge-pose-test-{os.getpid()}"
    group.mkdir()
    enter = f"echo 0 > {group}/cgroup.procs; exec unshare --mount --pid --fork --cgroup --ipc --uts"
    log = (folder / "systemd.log").open("wb")
    child = subprocess.Popen(
        ["bash", "-c", f'{enter} --kill-child bash -c "$BOOT"'],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        env={
            "PATH": os.environ["PATH"],
            "BOOT": BOOT,
            "STAGE": str(stage),
            "GIVEN": str(given),
            "BASE": sys.base_prefix,
            "PACKAGES": sysconfig.get_path("purelib"),
            "SOURCE": str(ROOT),
            "PROGRAM": str(PROGRAM),
        },
    )
    try:
        systemd = Systemd(_first_process(child))
        deadline_s = time.monotonic() + PATIENCE_S
        while systemd.run("systemctl", "is-active", "multi-user.target").strip() != "active":
            assert child.poll() is None, (folder / "systemd.log").read_text(errors="replace")
            assert time.monotonic() < deadline_s, (folder / "systemd.log").read_text()
            time.sleep(0.1)
        yield systemd
    finally:
        child.kill()
        child.wait()
        log.close()
        _remove(group)


def _first_process(child: "subprocess.Popen[bytes]") -> int:
    """Give the process that is PID 1 in there."""
    children = Path(f"/proc/{child.pid}/task/{child.pid}/children")
    deadline_s = time.monotonic() + PATIENCE_S
    while not (found := children.read_text().split()):
        assert child.poll() is None
        assert time.monotonic() < deadline_s
        time.sleep(0.05)
    return int(found[0])


def _remove(group: Path) -> None:
    """Take the control groups away, innermost first, once their processes are gone."""
    deadline_s = time.monotonic() + PATIENCE_S
    while "populated 1" in (group / "cgroup.events").read_text():
        assert time.monotonic() < deadline_s
        time.sleep(0.05)
    for inner in sorted(group.rglob("*/"), reverse=True):
        if inner.is_dir():
            inner.rmdir()
    group.rmdir()
