"""The file in which messages wait: the only one that knows SQLite.

In: rows to keep, ids of rows that are done with, bounds.  Out: the rows that wait, the oldest
first.  Two things can go wrong, and they are told apart: the disk refuses, or the file is broken.
"""

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

FORMAT: Final = 2
BESIDE: Final = ("", "-wal", "-shm")
"""What SQLite puts beside the file, and the file itself."""
_LOG_PAGES: Final = 64
"""Of 4 KiB, after which what SQLite has logged goes into the file; by default it grows to 4 MB, as
much as a small disk has, however few messages wait.
"""
_FORMAT_1: Final = (
    """CREATE TABLE waiting (
        id INTEGER PRIMARY KEY, leaf TEXT NOT NULL, payload TEXT NOT NULL,
        size INTEGER NOT NULL, at_ms INTEGER NOT NULL, precious INTEGER NOT NULL
    )""",
    "CREATE INDEX by_leaf ON waiting (leaf, id)",
    "CREATE INDEX by_worth ON waiting (precious, id)",
    "CREATE INDEX by_age ON waiting (at_ms)",
    "CREATE TABLE numbers (last INTEGER)",
    "INSERT INTO numbers VALUES (NULL)",
)
_FORMAT_2: Final = (
    "CREATE TABLE times (own_ms INTEGER NOT NULL, utc_ms INTEGER)",
    "INSERT INTO times SELECT coalesce(max(at_ms), 0), NULL FROM waiting",
    # Format 1 stamped with the wall clock: what seems days apart came before and after it was set.
    # No more rows are written than that takes, because a small disk has no room for all of them.
    """UPDATE waiting SET at_ms = (SELECT own_ms FROM times)
        WHERE at_ms < (SELECT own_ms FROM times) - 86400000""",
    f"PRAGMA user_version = {FORMAT}",
)
_MISSING: Final = {0: (*_FORMAT_1, *_FORMAT_2), 1: _FORMAT_2, FORMAT: ()}
"""What a file of each format lacks; an empty one has none."""


Execute = Callable[..., sqlite3.Cursor]


class DiskRefused(Exception):
    """The disk is full, away or not ours to write, or another process uses the file."""


class FileBroken(Exception):
    """What stands in the file makes no sense."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Row:
    """One message that waits."""

    id: int
    leaf: str
    payload: str
    at_ms: int
    """By the spool's own clock, as `Times` tells it."""
    precious: bool
    """An event, which outlives summaries, and which a power cut does not take."""

    @property
    def size(self) -> int:
        """Bytes that count against the bound."""
        return len(self.leaf) + len(self.payload.encode())


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """One moment by two clocks."""

    own_ms: int
    """Of the spool's own clock, which goes on while the spool is in use and never jumps."""
    utc_ms: int | None
    """None where nobody kept the wall clock right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How much may wait, and how long it is worth keeping."""

    rows: int
    size: int
    age_ms: int


class SpoolFile:
    """An open file; nobody else can open it meanwhile."""

    def __init__(self, path: Path) -> None:
        """Open it, or make it."""
        with _told():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            self._database = sqlite3.connect(path, timeout=0.0, isolation_level=None)
        try:
            self._prepare()
            with _told():
                ask = self._database.execute
                self.rows, self.size, self.last_id = ask(
                    "SELECT count(*), coalesce(sum(size), 0), coalesce(max(id), 0) FROM waiting"
                ).fetchone()
                (self.last_number,) = ask("SELECT last FROM numbers").fetchone()
                own_ms, known_utc_ms = ask("SELECT own_ms, utc_ms FROM times").fetchone()
                self.times = Times(own_ms=own_ms, utc_ms=known_utc_ms)
                self.leaves = {leaf for (leaf,) in ask("SELECT DISTINCT leaf FROM waiting")}
        except BaseException:
            self._database.close()
            raise

    def _prepare(self) -> None:
        with _told():
            self._database.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA secure_delete = ON")
            self._database.execute(f"PRAGMA wal_autocheckpoint = {_LOG_PAGES}")
            with self._change() as change:
                (found,) = change("PRAGMA user_version").fetchone()
                for statement in _MISSING.get(found, ()):
                    change(statement)
            (verdict,) = self._database.execute("PRAGMA quick_check(1)").fetchone()
        if found not in _MISSING or verdict != "ok":
            raise FileBroken(f"format {found}, wanted {FORMAT}; check says {verdict}")

    def waiting(self, leaf: str, *, most: int) -> list[Row]:
        """Give the oldest rows under a name."""
        with _told():
            found = self._database.execute(
                "SELECT id, leaf, payload, at_ms, precious FROM waiting WHERE leaf = ? "
                "ORDER BY id LIMIT ?",
                (leaf, most),
            ).fetchall()
        return [
            Row(id=number, leaf=name, payload=payload, at_ms=at_ms, precious=bool(precious))
            for number, name, payload, at_ms, precious in found
        ]

    def write(
        self,
        rows: Sequence[Row],
        done: Iterable[int],
        *,
        last_number: int | None,
        times: Times,
        bounds: Bounds,
    ) -> int:
        """Change all this in one piece; return how many rows had to go to keep the bounds."""
        # A commit that waits for the disk wears it out: events do, and they are rare.
        wait = any(row.precious for row in rows)
        with _told():
            self._database.execute(f"PRAGMA synchronous = {'FULL' if wait else 'NORMAL'}")
            with self._change() as change:
                for row in rows:
                    change(
                        "INSERT INTO waiting (id, leaf, payload, size, at_ms, precious) "
                        "VALUES (?, ?, ?, ?, ?, ?)",
                        (row.id, row.leaf, row.payload, row.size, row.at_ms, row.precious),
                    )
                gone = [
                    size
                    for number in done
                    for (size,) in change(
                        "DELETE FROM waiting WHERE id = ? RETURNING size", (number,)
                    ).fetchall()
                ]
                change("UPDATE numbers SET last = ?", (last_number,))
                change("UPDATE times SET own_ms = ?, utc_ms = ?", (times.own_ms, times.utc_ms))
                count = self.rows + len(rows) - len(gone)
                size = self.size + sum(row.size for row in rows) - sum(gone)
                oldest_ms = times.own_ms - bounds.age_ms
                dropped = list(self._excess(change, count, size, oldest_ms, bounds))
        self.last_number, self.times = last_number, times
        self.rows, self.size = count - len(dropped), size - sum(dropped)
        return len(dropped)

    def _excess(
        self, change: Execute, count: int, size: int, oldest_ms: int, bounds: Bounds
    ) -> Iterator[int]:
        """Drop what is too old, then what is too much, summaries before events; give the sizes."""
        for (one,) in change(
            "DELETE FROM waiting WHERE at_ms < ? RETURNING size", (oldest_ms,)
        ).fetchall():
            count, size = count - 1, size - one
            yield one
        while count > bounds.rows or size > bounds.size:
            ((one,),) = change(
                "DELETE FROM waiting WHERE id = "
                "(SELECT id FROM waiting ORDER BY precious, id LIMIT 1) RETURNING size"
            ).fetchall()
            count, size = count - 1, size - one
            yield one

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    @contextmanager
    def _change(self) -> Iterator[Execute]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield self._database.execute
            self._database.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.DatabaseError):  # a full disk has rolled it back already
                self._database.execute("ROLLBACK")
            raise


@contextmanager
def _told() -> Iterator[None]:
    """Tell a disk that refuses from a file that is broken."""
    try:
        yield
    except (sqlite3.OperationalError, OSError) as error:
        raise DiskRefused(str(error)) from error
    except sqlite3.DatabaseError as error:
        raise FileBroken(str(error)) from error
