"""What goes wrong, one function a fault: it does the harm, undoes it, and returns when that was.

A fault that harms the camera explains missing summaries; one that ends the appliance explains
those of the seconds in which it was away.
"""

import os
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Final

from benchmarks.faults.processes import Part
from benchmarks.faults.rig import Kind, Rig

_LONG_S: Final = 75.0

Harm = Callable[[Rig, Random], None]
"""Harms and undoes it; returns when the cause has ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One row of the table."""

    name: str
    harm: Harm
    times: int = 3
    kind: Kind = "plain"
    """Of the rig that it needs."""
    settles: bool = True
    """Wait for what waits before doing it again."""
    explains_summaries: bool = False
    """No frame was worked on meanwhile, so there was nothing to sum up."""
    why_not: Callable[[], str | None] = lambda: None
    """Why it cannot be done on this machine."""


def broker_restarts(rig: Rig, chance: Random) -> None:
    """End the broker politely, start it a little later."""
    _is_away(rig.broker, chance.uniform(0.0, 4.0), signal.SIGTERM)


def broker_is_killed(rig: Rig, chance: Random) -> None:
    """End it without a goodbye."""
    _is_away(rig.broker, chance.uniform(0.0, 4.0))


def broker_is_long_away(rig: Rig, _chance: Random) -> None:
    """Keep it away until everybody tries as seldom as they ever do."""
    _is_away(rig.broker, _LONG_S)


def broker_hangs(rig: Rig, _chance: Random) -> None:
    """Let it hold the connection and never answer, longer than the keep-alive."""
    rig.broker.send(signal.SIGSTOP)
    time.sleep(25.0)
    rig.broker.send(signal.SIGCONT)


def password_is_wrong(rig: Rig, _chance: Random) -> None:
    """Let the broker ask for a password that nobody has, then for none."""
    passwords = rig.folder / "passwords"
    passwords.touch()
    lines = ("allow_anonymous false", f"password_file {passwords}")
    _is_otherwise(rig, lambda: rig.broker.configure(*lines), rig.broker.configure)


def publishing_is_denied(rig: Rig, _chance: Random) -> None:
    """Let the broker's access list forbid events and summaries for a while."""
    rules = rig.folder / "rules"
    rules.write_text("topic read #\ntopic write faults/rig/status\n")
    lines = ("allow_anonymous true", f"acl_file {rules}")
    _is_otherwise(rig, lambda: rig.broker.configure(*lines), rig.broker.configure)


def certificate_is_expired(rig: Rig, _chance: Random) -> None:
    """Let the broker show a certificate of yesterday."""
    _is_otherwise(
        rig, lambda: rig.show_certificate("expired"), lambda: rig.show_certificate("good")
    )


def certificate_is_anothers(rig: Rig, _chance: Random) -> None:
    """Let the broker show a certificate that nobody vouches for."""
    _is_otherwise(
        rig, lambda: rig.show_certificate("stranger"), lambda: rig.show_certificate("good")
    )


def _is_away(part: Part, seconds: float, ended_by: signal.Signals = signal.SIGKILL) -> None:
    part.end(ended_by)
    time.sleep(seconds)
    part.start()


def _is_otherwise(rig: Rig, wrong: Callable[[], None], right: Callable[[], None]) -> None:
    """Run the broker with wrong settings for a while, then with the right ones again."""
    rig.broker.end(signal.SIGTERM)
    wrong()
    rig.broker.start()
    time.sleep(8.0)
    rig.broker.end(signal.SIGTERM)
    right()
    rig.broker.start()


def network_swallows(rig: Rig, chance: Random) -> None:
    """Lose every byte both ways, with nobody told."""
    rig.wire.swallows = True
    time.sleep(chance.uniform(15.0, 30.0))
    rig.wire.swallows = False


def camera_is_killed(rig: Rig, chance: Random) -> None:
    """End the camera without a goodbye."""
    _is_away(rig.camera, chance.uniform(1.0, 6.0))


def camera_is_long_away(rig: Rig, _chance: Random) -> None:
    """Keep it away until it is tried as seldom as ever."""
    _is_away(rig.camera, _LONG_S)


def camera_freezes(rig: Rig, _chance: Random) -> None:
    """Let the camera hold the connection and send nothing."""
    rig.camera.send(signal.SIGSTOP)
    time.sleep(12.0)
    rig.camera.send(signal.SIGCONT)


def camera_changes_its_size(rig: Rig, chance: Random) -> None:
    """End the camera; what comes back has other pictures."""
    rig.camera.end()
    rig.camera.draw(*chance.choice([(480, 360), (800, 448), (640, 480)]))
    rig.camera.start()


def disk_is_full(rig: Rig, _chance: Random) -> None:
    """Fill the disk of the spool while the broker is away; the broker comes back before space."""
    filler = rig.state / "filler"
    rig.broker.end()
    with filler.open("wb") as file:
        try:
            while True:
                file.write(bytes(65536))
                file.flush()
        except OSError:
            pass
    time.sleep(6.0)
    filler.unlink()
    rig.broker.start()


def spool_is_corrupted(rig: Rig, chance: Random) -> None:
    """Overwrite a part of the spool's file while it is in use, then have it opened again."""
    for path in rig.state.rglob("*.spool"):
        with path.open("r+b") as file:
            file.seek(chance.randrange(max(path.stat().st_size - 4096, 1)))
            file.write(chance.randbytes(4096))
    time.sleep(2.0)
    rig.appliance.end(signal.SIGTERM)
    rig.appliance.start()


def clock_steps(rig: Rig, chance: Random) -> None:
    """Set the wall clock an hour ahead or back."""
    rig.set_clock(chance.choice([3600, -3600]))
    time.sleep(5.0)
    rig.set_clock(0)


def appliance_is_ended(rig: Rig, chance: Random) -> None:
    """Ask it to end, as systemd does, and start it again."""
    time.sleep(chance.uniform(0.0, 2.0))
    rig.appliance.end(signal.SIGTERM)
    rig.appliance.start()


def appliance_is_killed(rig: Rig, chance: Random) -> None:
    """Kill it at any moment, also while it starts."""
    time.sleep(chance.uniform(0.0, 3.0))
    rig.appliance.end()
    rig.appliance.start()


def settings_break(rig: Rig, _chance: Random) -> None:
    """Write nonsense into its settings while it runs, and have them read."""
    good = rig.appliance.settings.read_text()
    rig.appliance.settings.write_text(good.replace("[mqtt]", "[mqqt"))
    rig.appliance.send(signal.SIGHUP)
    time.sleep(3.0)
    rig.appliance.settings.write_text(good)
    rig.appliance.send(signal.SIGHUP)


def no_compiler() -> str | None:
    """Say why the clock of one process cannot be set."""
    return None if shutil.which("g++") else "g++ is not installed; `apt-get install g++` does it"


def no_small_disk() -> str | None:
    """Say why no disk can be filled without harm."""
    return (
        None if os.geteuid() == 0 and shutil.which("mount") else "only root may mount a small disk"
    )


FAULTS: Final = (
    Fault(name="broker restarts", harm=broker_restarts, times=5),
    Fault(name="broker is killed", harm=broker_is_killed, times=10),
    Fault(name="broker is away for long", harm=broker_is_long_away, times=2),
    Fault(name="broker hangs", harm=broker_hangs, times=2),
    Fault(name="password is wrong", harm=password_is_wrong, times=2),
    Fault(name="publishing is denied", harm=publishing_is_denied, times=2),
    Fault(name="certificate is expired", harm=certificate_is_expired, times=2, kind="tls"),
    Fault(name="certificate is another's", harm=certificate_is_anothers, times=2, kind="tls"),
    Fault(name="network swallows all", harm=network_swallows),
    Fault(name="camera is killed", harm=camera_is_killed, explains_summaries=True, times=5),
    Fault(
        name="camera is away for long", harm=camera_is_long_away, explains_summaries=True, times=2
    ),
    Fault(name="camera freezes", harm=camera_freezes, explains_summaries=True),
    Fault(
        name="camera changes its size",
        harm=camera_changes_its_size,
        explains_summaries=True,
    ),
    Fault(name="disk is full", harm=disk_is_full, why_not=no_small_disk),
    Fault(name="spool is corrupted", harm=spool_is_corrupted, explains_summaries=True),
    Fault(
        name="clock steps an hour",
        harm=clock_steps,
        kind="clock",
        explains_summaries=True,
        why_not=no_compiler,
    ),
    Fault(name="ended and started", harm=appliance_is_ended, explains_summaries=True, times=5),
    Fault(
        name="killed at any moment",
        harm=appliance_is_killed,
        explains_summaries=True,
        settles=False,
        times=50,
    ),
    Fault(name="settings break", harm=settings_break, explains_summaries=True),
)
