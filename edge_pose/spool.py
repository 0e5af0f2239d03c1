"""What must not be lost is kept here until somebody has it, bounded, and the oldest goes first.

In: messages that are ready to be sent.  Out: the same messages, again and again, until they are
done with.  One thread owns a spool.  A disk that refuses stops nobody: messages are then kept in
memory, and it is told.
"""

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from heapq import merge
from itertools import islice
from pathlib import Path
from typing import Final
from urllib.parse import quote

from edge_pose.clock import NS_PER_MS, NS_PER_S, Clock, monotonic_ns, utc_ms
from edge_pose.config import Config
from edge_pose.errors import ConfigError
from edge_pose.spool_file import (
    BESIDE,
    Bounds,
    DiskRefused,
    FileBroken,
    Row,
    SpoolFile,
    Times,
)
from edge_pose.state import given_folder
from edge_pose.time_sync import time_sync

log = logging.getLogger(__name__)

RETRY_NS: Final = 10 * NS_PER_S
"""How long a disk that refused is left alone."""
FORGOTTEN_MS: Final = 60_000
"""How much of its age what waits may lose when we are killed, and how late it goes."""
MOST_IN_MEMORY: Final = 1000
"""Messages kept while the disk refuses, or where there is none."""
BROKEN: Final = ".broken"


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolSettings:
    """Where messages are kept, and how many."""

    path: Path | None
    """None: in memory only."""
    max_rows: int = 200_000
    max_bytes: int = 64_000_000
    max_age_s: float = 86_400.0
    """Of time that passed, whatever the wall clock says."""


IN_MEMORY: Final = SpoolSettings(path=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How full a spool is, and what became of the rest since the start."""

    rows: int
    dropped: int
    """Too old, or pushed out by newer ones."""
    ok: bool
    """False: what ought to be on the disk is in memory only, or was lost with a broken file."""


def settings(config: Config, environ: Mapping[str, str]) -> SpoolSettings:
    """Say where the messages of this camera are kept: systemd's folder for state, or the user's."""
    spool = config.spool
    name = f"{quote(config.device.name, safe='')}-{quote(config.camera.name, safe='')}.spool"
    return SpoolSettings(
        path=(spool.folder or _state_folder(environ)) / name if spool.enabled else None,
        max_rows=spool.max_rows,
        max_bytes=spool.max_bytes,
        max_age_s=spool.max_age_s,
    )


def history_settings(config: Config, environ: Mapping[str, str]) -> SpoolSettings:
    """Say where the Sparkplug history of this camera is kept: beside its messages."""
    beside = settings(config, environ)
    path = None if beside.path is None else beside.path.with_suffix(".history")
    return replace(beside, path=path)


def _state_folder(environ: Mapping[str, str]) -> Path:
    if given := given_folder(environ):
        return given
    home = environ.get("XDG_STATE_HOME") or f"{environ.get('HOME', '')}/.local/state"
    return Path(home) / "edge-pose"


def purge(path: Path) -> int:
    """Remove all that is kept, and tell how many messages that were; nobody may be using it."""
    rows = 0
    try:
        there = path.exists()
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be reached ({error.strerror}); ask as root, or as the user whose it is"
        ) from None
    if there:
        try:
            file = SpoolFile(path)
        except DiskRefused as refusal:
            raise ConfigError(
                f"{path} cannot be emptied ({refusal}); stop the edge-pose that uses it first"
            ) from None
        except FileBroken as broken:
            log.warning("%s was broken (%s)", path, broken)
        else:
            rows = file.rows
            file.close()
    for suffix in (*BESIDE, BROKEN):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
    return rows


class Spool:
    """Messages in the order in which they came; nothing is on the disk before `save`."""

    def __init__(self, settings: SpoolSettings, *, clock: Clock = monotonic_ns) -> None:
        self._settings = settings
        self._bounds = Bounds(
            rows=settings.max_rows,
            size=settings.max_bytes,
            age_ms=round(settings.max_age_s * 1000),
        )
        self._clock = clock
        self._behind_ms = clock() // NS_PER_MS
        """How far the spool's own clock, by which messages grow old, is behind that one."""
        self._file: SpoolFile | None = None
        self._unsaved: dict[int, Row] = {}
        self._done: set[int] = set()
        """Ids of rows in the file that nobody needs any more."""
        self._leaves: set[str] = set()
        # Above those of every former process, also where their rows cannot be read yet.
        self._last_id = utc_ms() * 1000
        self._last_number: int | None = None
        self._dropped = 0
        self._refused_ns: int | None = None
        """When the disk refused; None while it does not."""
        self._lost = False
        self.save()

    @property
    def counts(self) -> Counts:
        """Tell how the spool is doing."""
        saved = 0 if self._file is None else self._file.rows - len(self._done)
        return Counts(
            rows=saved + len(self._unsaved),
            dropped=self._dropped,
            ok=self._refused_ns is None and not self._lost,
        )

    @property
    def leaves(self) -> Collection[str]:
        """Tell under which names messages may wait."""
        return self._leaves

    def number(self) -> int:
        """Give the next number, also after restarts.

        A new spool begins with the time, so that it goes on above the numbers of one that is lost.
        """
        self._last_number = utc_ms() if self._last_number is None else self._last_number + 1
        return self._last_number

    def add(self, leaf: str, payload: str, *, precious: bool) -> None:
        """Take a message; it is kept from the next `save` on."""
        self._last_id += 1
        self._unsaved[self._last_id] = Row(
            id=self._last_id, leaf=leaf, payload=payload, at_ms=self._own_ms(), precious=precious
        )
        self._leaves.add(leaf)

    def done(self, number: int) -> None:
        """Forget the message with that id."""
        if self._unsaved.pop(number, None) is None:
            self._done.add(number)

    def waiting(self, leaf: str, *, without: Collection[int], most: int) -> list[Row]:
        """Give the oldest messages under a name; before they are saved only if they cannot be."""
        saved: list[Row] = []
        if self._file is not None:
            try:
                saved = self._file.waiting(leaf, most=most + len(without) + len(self._done))
            except (DiskRefused, FileBroken) as trouble:
                self._bear(trouble)
        unsaved = [row for row in self._unsaved.values() if row.leaf == leaf]
        cannot_wait = self._file is None or self._refused_ns is not None
        rows = merge(saved, unsaved if cannot_wait else [])
        wanted = (row for row in rows if row.id not in without and row.id not in self._done)
        return list(islice(wanted, most))

    def save(self) -> None:
        """Put what has changed on the disk, in one piece; in vain where the disk refuses."""
        refused_ns = self._refused_ns
        if self._settings.path is not None and (
            refused_ns is None or self._clock() - refused_ns >= RETRY_NS
        ):
            try:
                self._write(self._settings.path)
            except (DiskRefused, FileBroken) as trouble:
                self._bear(trouble)
            else:
                if refused_ns is not None:
                    log.info("The spool %s can be used again", self._settings.path)
                self._refused_ns = None
        self._bound_memory()

    def close(self) -> None:
        """Save what can be saved and let go of the file."""
        self._refused_ns = None
        self.save()
        self._let_go()

    def _write(self, path: Path) -> None:
        """Write into the file, which is opened first where it is not."""
        if self._file is None:
            self._file = file = SpoolFile(path)
            self._leaves |= file.leaves
            self._last_id = max(self._last_id, file.last_id)
            numbers = (file.last_number, self._last_number)
            self._last_number = max((n for n in numbers if n is not None), default=None)
            self._go_on_from(file.times)
        file = self._file
        news = self._unsaved or self._done or file.last_number != self._last_number
        grown_old = file.rows and self._own_ms() - file.times.own_ms >= FORGOTTEN_MS
        if news or grown_old:
            self._dropped += file.write(
                list(self._unsaved.values()),
                self._done,
                last_number=self._last_number,
                times=self._times(),
                bounds=self._bounds,
            )
            self._unsaved.clear()
            self._done.clear()

    def _go_on_from(self, left: Times) -> None:
        """Set the spool's own clock to when the file was left, and on by the time since then.

        That time only the wall clock can tell. If it was wrong then, it may have been set since,
        and the difference means nothing: what waits grows no older by it.
        """
        away_ms = 0 if left.utc_ms is None else max(utc_ms() - left.utc_ms, 0)
        step_ms = left.own_ms + away_ms - self._own_ms()
        self._behind_ms -= step_ms
        for number, row in self._unsaved.items():
            self._unsaved[number] = replace(row, at_ms=row.at_ms + step_ms)

    def _own_ms(self) -> int:
        return self._clock() // NS_PER_MS - self._behind_ms

    def _times(self) -> Times:
        sync = time_sync()
        kept_right = sync is not None and sync.synchronised
        return Times(own_ms=self._own_ms(), utc_ms=utc_ms() if kept_right else None)

    def _bound_memory(self) -> None:
        oldest_ms = self._own_ms() - self._bounds.age_ms
        expired = [row.id for row in self._unsaved.values() if row.at_ms < oldest_ms]
        excess = max(len(self._unsaved) - MOST_IN_MEMORY, 0)
        by_worth = sorted(self._unsaved.values(), key=lambda row: (row.precious, row.id))
        for number in {*expired, *(row.id for row in by_worth[:excess])}:
            del self._unsaved[number]
            self._dropped += 1

    def _bear(self, trouble: DiskRefused | FileBroken) -> None:
        """Go on without the disk for a while, or with a new file where this one is broken."""
        path = self._settings.path
        assert path is not None
        if isinstance(trouble, FileBroken):
            log.warning(
                "The spool %s is broken (%s); what it holds is lost, and the file kept as %s%s",
                path,
                trouble,
                path.name,
                BROKEN,
            )
            self._lost = True
            self._let_go()
            self._done.clear()
            try:
                path.replace(f"{path}{BROKEN}")
                for suffix in BESIDE:
                    Path(f"{path}{suffix}").unlink(missing_ok=True)
                self._write(path)
            except (DiskRefused, OSError) as refusal:
                trouble = DiskRefused(str(refusal))
            else:
                return
        if self._refused_ns is None:
            log.warning(
                "The spool %s cannot be used (%s); in memory at most %d messages are kept "
                "meanwhile: make room, or name another folder in spool.folder",
                path,
                trouble,
                MOST_IN_MEMORY,
            )
        self._refused_ns = self._clock()

    def _let_go(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
