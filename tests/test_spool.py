"""What waits is there after a restart, stays within its bounds, and no disk stops it."""

import logging
import resource
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import pytest

from edge_pose.clock import NS_PER_MS
from edge_pose.config.read import load
from edge_pose.errors import EXIT_OPERATOR, ConfigError
from edge_pose.spool import MOST_IN_MEMORY, RETRY_NS, Spool, SpoolSettings, purge, settings
from edge_pose.time_sync import TimeSync

NOW_MS = 1_790_000_000_000
DAY_MS = 86_400_000


class KeptRight(Protocol):
    """Says whether somebody keeps the wall clock right."""

    def __call__(self, *, synchronised: bool) -> None:
        """Say it from here on."""


@pytest.fixture
def place(tmp_path: Path) -> SpoolSettings:
    return SpoolSettings(path=tmp_path / "state" / "edge-7-cam0.spool")


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Set the wall clock."""
    return lambda now_ms: monkeypatch.setattr("edge_pose.spool.utc_ms", lambda: now_ms)


@pytest.fixture
def kept_right(monkeypatch: pytest.MonkeyPatch) -> KeptRight:
    """Have the kernel say whether somebody keeps the wall clock right."""

    def say(*, synchronised: bool) -> None:
        told = TimeSync(synchronised=synchronised, error_ms=1.0)
        monkeypatch.setattr("edge_pose.spool.time_sync", lambda: told)

    return say


def payloads(spool: Spool, leaf: str = "event/people") -> list[str]:
    return [row.payload for row in spool.waiting(leaf, without=(), most=1_000_000)]


def fill(spool: Spool, count: int, *, leaf: str = "event/people", first: int = 0) -> None:
    for number in range(first, first + count):
        spool.add(leaf, f"{leaf} {number}", precious=leaf != "summary")


def path_of(place: SpoolSettings) -> Path:
    assert place.path is not None
    return place.path


def test_what_was_saved_is_there_after_a_restart_in_its_order(place: SpoolSettings) -> None:
    with closing(Spool(place)) as spool:
        fill(spool, 3)
        spool.save()
    with closing(Spool(place)) as spool:
        fill(spool, 1, first=3)
        spool.save()
        assert payloads(spool) == [f"event/people {number}" for number in range(4)]
        assert set(spool.leaves) == {"event/people"}
        assert spool.counts.rows == 4


def test_nothing_is_sent_that_was_not_saved_first(place: SpoolSettings) -> None:
    with closing(Spool(place)) as spool:
        fill(spool, 1)
        assert payloads(spool) == []
        spool.save()
        assert len(payloads(spool)) == 1


def test_what_is_done_with_is_gone_for_good(place: SpoolSettings) -> None:
    with closing(Spool(place)) as spool:
        fill(spool, 3)
        spool.save()
        first, second, _ = spool.waiting("event/people", without=(), most=3)
        spool.done(second.id)
        assert payloads(spool) == ["event/people 0", "event/people 2"]
        held_back = spool.waiting("event/people", without={first.id}, most=1)
        assert [row.payload for row in held_back] == ["event/people 2"]
        spool.save()
        assert spool.counts.rows == 2
    with closing(Spool(place)) as spool:
        assert payloads(spool) == ["event/people 0", "event/people 2"]


def numbers(place: SpoolSettings, count: int) -> list[int]:
    with closing(Spool(place)) as spool:
        found = []
        for _ in range(count):
            found.append(spool.number())
            spool.add("event/people", str(found[-1]), precious=True)
            spool.save()
            for row in spool.waiting("event/people", without=(), most=9):
                spool.done(row.id)
            spool.save()
        return found


def test_numbers_go_on_over_restarts_without_a_gap(place: SpoolSettings) -> None:
    told = [*numbers(place, 2), *numbers(place, 3)]
    assert told == list(range(told[0], told[0] + 5))


def test_numbers_of_a_new_spool_are_above_those_of_one_that_was_lost(
    place: SpoolSettings, at: Callable[[int], None]
) -> None:
    at(NOW_MS)
    before = numbers(place, 5)
    purge(path_of(place))
    at(NOW_MS + 1000)
    assert min(numbers(place, 1)) > max(before)


def test_a_number_that_was_not_saved_is_given_again(place: SpoolSettings) -> None:
    (first,) = numbers(place, 1)
    spool = Spool(place)
    lost = spool.number()
    spool._let_go()  # noqa: SLF001 - what a kill leaves
    assert numbers(place, 1) == [lost] == [first + 1]


def test_of_too_many_the_oldest_go_and_are_counted(place: SpoolSettings) -> None:
    with closing(Spool(replace(place, max_rows=10))) as spool:
        fill(spool, 25)
        spool.save()
        assert payloads(spool) == [f"event/people {number}" for number in range(15, 25)]
        assert (spool.counts.rows, spool.counts.dropped) == (10, 15)


def test_of_too_many_bytes_the_oldest_go(place: SpoolSettings) -> None:
    with closing(Spool(replace(place, max_bytes=1000))) as spool:
        for letter in "abcdefgh":
            spool.add("event/people", letter * 200, precious=True)
            spool.save()
        assert payloads(spool) == [letter * 200 for letter in "efgh"]
        assert spool.counts.dropped == 4


def test_summaries_go_before_events(place: SpoolSettings) -> None:
    with closing(Spool(replace(place, max_rows=10))) as spool:
        fill(spool, 8)
        fill(spool, 8, leaf="summary")
        spool.save()
        assert len(payloads(spool)) == 8
        assert payloads(spool, "summary") == ["summary 6", "summary 7"]


class Uptime:
    """A monotonic clock that is moved by hand."""

    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        """Tell it, in nanoseconds."""
        return self.now_ns

    def pass_ms(self, milliseconds: int) -> None:
        """Let time pass."""
        self.now_ns += milliseconds * NS_PER_MS


@pytest.fixture
def uptime() -> Uptime:
    return Uptime()


def test_what_is_a_day_old_goes(place: SpoolSettings, uptime: Uptime) -> None:
    with closing(Spool(place, clock=uptime)) as spool:
        fill(spool, 2)
        spool.save()
        uptime.pass_ms(DAY_MS - 1000)
        fill(spool, 1, first=2)
        spool.save()
        assert len(payloads(spool)) == 3
        uptime.pass_ms(2000)
        fill(spool, 1, first=3)
        spool.save()
        assert payloads(spool) == ["event/people 2", "event/people 3"]
        assert spool.counts.dropped == 2


def test_what_is_a_day_old_goes_also_when_nothing_comes(
    place: SpoolSettings, uptime: Uptime
) -> None:
    with closing(Spool(place, clock=uptime)) as spool:
        fill(spool, 2)
        spool.save()
        uptime.pass_ms(DAY_MS + 1000)
        spool.save()
        assert (spool.counts.rows, spool.counts.dropped) == (0, 2)


def test_what_waits_loses_no_more_than_a_minute_of_its_age_by_a_kill(
    place: SpoolSettings, kept_right: KeptRight, uptime: Uptime
) -> None:
    kept_right(synchronised=False)
    spool = Spool(place, clock=uptime)
    fill(spool, 1)
    spool.save()
    for _ in range(100):
        uptime.pass_ms(10_000)
        spool.save()
    spool._let_go()  # noqa: SLF001 - what a kill leaves
    with closing(Spool(place, clock=uptime)) as spool:
        uptime.pass_ms(DAY_MS - 1_000_000)
        spool.save()
        assert spool.counts.rows == 1
        uptime.pass_ms(120_000)
        spool.save()
        assert spool.counts.rows == 0


@pytest.mark.parametrize("in_memory", [False, True])
@pytest.mark.parametrize(
    "first_ms",
    [60_000, NOW_MS - 400 * DAY_MS, NOW_MS + 400 * DAY_MS],
    ids=["1970", "late", "early"],
)
def test_a_wall_clock_that_is_set_makes_nothing_older_or_younger(
    place: SpoolSettings,
    at: Callable[[int], None],
    uptime: Uptime,
    first_ms: int,
    *,
    in_memory: bool,
) -> None:
    """A device without a battery for its clock starts in 1970, or when it was switched off."""
    at(first_ms)
    place = SpoolSettings(path=None) if in_memory else place
    with closing(Spool(place, clock=uptime)) as spool:
        fill(spool, 2)
        spool.save()
        uptime.pass_ms(DAY_MS - 1000)
        at(NOW_MS)
        fill(spool, 1, first=2)
        spool.save()
        assert spool.counts.rows == 3
        uptime.pass_ms(2000)
        fill(spool, 1, first=3)
        spool.save()
        assert (spool.counts.rows, spool.counts.dropped) == (2, 2)


@pytest.mark.parametrize("synchronised", [False, True])
def test_what_waited_for_former_runs_grows_older_in_this_one(
    place: SpoolSettings,
    at: Callable[[int], None],
    kept_right: KeptRight,
    uptime: Uptime,
    *,
    synchronised: bool,
) -> None:
    kept_right(synchronised=synchronised)
    at(NOW_MS)
    for run in range(2):
        with closing(Spool(place, clock=uptime)) as spool:
            fill(spool, 1, first=run)
            uptime.pass_ms(DAY_MS // 2 - 1000)
            at(NOW_MS + uptime.now_ns // NS_PER_MS)
            spool.save()
    uptime.now_ns = 0  # the machine was started again
    with closing(Spool(place, clock=uptime)) as spool:
        fill(spool, 1, first=2)
        spool.save()
        assert spool.counts.rows == 3
        uptime.pass_ms(3000)
        fill(spool, 1, first=3)
        spool.save()
        assert payloads(spool) == [f"event/people {number}" for number in (1, 2, 3)]


def test_what_waited_while_the_device_was_off_for_two_days_goes(
    place: SpoolSettings, at: Callable[[int], None], kept_right: KeptRight
) -> None:
    kept_right(synchronised=True)
    at(NOW_MS)
    with closing(Spool(place)) as spool:
        fill(spool, 2)
    kept_right(synchronised=False)  # nobody has answered yet, but a battery kept the clock
    at(NOW_MS + 2 * DAY_MS)
    with closing(Spool(place)) as spool:
        assert (spool.counts.rows, spool.counts.dropped) == (0, 2)


@pytest.mark.parametrize(
    ("before_ms", "synchronised"),
    [
        (NOW_MS - 30 * DAY_MS, False),  # started when it was switched off last, and nobody told it
        (60_000, False),
        (NOW_MS + 30 * DAY_MS, True),  # the battery is empty: it starts again in the past
    ],
)
def test_a_clock_that_is_set_between_two_runs_takes_nothing(
    place: SpoolSettings,
    at: Callable[[int], None],
    kept_right: KeptRight,
    before_ms: int,
    *,
    synchronised: bool,
) -> None:
    kept_right(synchronised=synchronised)
    at(before_ms)
    with closing(Spool(place)) as spool:
        fill(spool, 2)
    kept_right(synchronised=True)
    at(NOW_MS)
    with closing(Spool(place)) as spool:
        fill(spool, 1, first=2)
        spool.save()
        assert (spool.counts.rows, spool.counts.dropped) == (3, 0)


def test_what_waits_in_memory_until_the_disk_is_there_keeps_its_age(
    place: SpoolSettings, uptime: Uptime
) -> None:
    path = path_of(place)
    with closing(Spool(place, clock=uptime)) as spool:
        fill(spool, 1)
        uptime.pass_ms(DAY_MS // 2)
        spool.save()
    folder = path.parent.rename(path.parent.with_name("away"))
    path.parent.write_text("in the way")
    with closing(Spool(place, clock=uptime)) as spool:
        fill(spool, 1, first=1)
        uptime.pass_ms(DAY_MS - 1000)
        path.parent.unlink()
        folder.rename(path.parent)
        spool.save()
        assert payloads(spool) == ["event/people 0", "event/people 1"]
        uptime.pass_ms(2000)
        fill(spool, 1, first=2)
        spool.save()
        assert payloads(spool) == ["event/people 0", "event/people 2"]


FORMAT_1 = """
CREATE TABLE waiting (
    id INTEGER PRIMARY KEY, leaf TEXT NOT NULL, payload TEXT NOT NULL,
    size INTEGER NOT NULL, at_ms INTEGER NOT NULL, precious INTEGER NOT NULL
);
CREATE INDEX by_leaf ON waiting (leaf, id);
CREATE INDEX by_worth ON waiting (precious, id);
CREATE INDEX by_age ON waiting (at_ms);
CREATE TABLE numbers (last INTEGER);
INSERT INTO numbers VALUES (7);
INSERT INTO waiting VALUES (1, 'event/people', 'event/people 0', 26, 60000, 1);
INSERT INTO waiting VALUES (2, 'event/people', 'event/people 1', 26, 1790000000000, 1);
PRAGMA user_version = 1;
"""


def test_a_file_of_a_former_version_is_read_and_what_waits_in_it_kept_for_a_day(
    place: SpoolSettings, at: Callable[[int], None], uptime: Uptime
) -> None:
    at(NOW_MS + 400 * DAY_MS)
    path_of(place).parent.mkdir()
    with closing(sqlite3.connect(path_of(place))) as database:
        database.executescript(FORMAT_1)
    with closing(Spool(place, clock=uptime)) as spool:
        assert spool.number() == 8
        fill(spool, 1, first=2)
        spool.save()
        assert payloads(spool) == [f"event/people {number}" for number in range(3)]
        assert spool.counts.ok
    with closing(Spool(place, clock=uptime)) as spool:
        uptime.pass_ms(DAY_MS + 1000)
        spool.save()
        assert spool.counts.rows == 0


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_bytes(b"no database at all" * 100),
        lambda path: path.write_bytes(path.read_bytes()[:4096] + b"\x7f" * 20_000),
        lambda path: sqlite3.connect(path).execute("PRAGMA user_version = 7").connection.close(),
    ],
    ids=["nonsense", "half", "of a later version"],
)
def test_a_broken_file_is_set_aside_and_a_new_one_begun(
    place: SpoolSettings, spoil: Callable[[Path], object], caplog: pytest.LogCaptureFixture
) -> None:
    path = path_of(place)
    with closing(Spool(place)) as spool:
        fill(spool, 300)
        spool.save()
    spoil(path)
    with caplog.at_level(logging.WARNING), closing(Spool(place)) as spool:
        assert "is broken" in caplog.text
        assert str(path) in caplog.text
        assert path.with_name(path.name + ".broken").exists()
        assert not spool.counts.ok
        fill(spool, 1)
        spool.save()
        assert payloads(spool) == ["event/people 0"]
    with closing(Spool(place)) as spool:
        assert spool.counts.rows == 1


def test_a_file_that_breaks_at_work_loses_only_what_was_in_it(place: SpoolSettings) -> None:
    with closing(Spool(place)) as spool:
        for _ in range(3000):  # more than SQLite keeps in memory
            spool.add("event/people", "x" * 2000, precious=True)
        spool.save()
    with closing(Spool(place)) as spool:
        with path_of(place).open("r+b") as file:
            file.seek(4096)
            file.write(b"\x7f" * 6_000_000)
        assert len(spool.waiting("event/people", without=(), most=5000)) < 3000
        fill(spool, 1)
        spool.save()
        spool.save()
        assert payloads(spool) == ["event/people 0"]
        assert not spool.counts.ok


def is_troubled(spool: Spool) -> bool:
    return not spool.counts.ok


@contextmanager
def full_disk(path: Path) -> Iterator[None]:
    """Let no file of this process grow beyond what the spool has now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = max(one.stat().st_size for one in path.parent.iterdir())
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_told_and_what_comes_is_kept_in_memory_until_there_is_room(
    place: SpoolSettings, caplog: pytest.LogCaptureFixture
) -> None:
    now_ns = [0]
    with closing(Spool(place, clock=lambda: now_ns[0])) as spool:
        fill(spool, 5)
        spool.save()
        with full_disk(path_of(place)), caplog.at_level(logging.INFO):
            for number in range(5, 55):
                fill(spool, 1, first=number)
                spool.save()
            assert len(payloads(spool)) == 55, "what cannot be saved is sent all the same"
            assert is_troubled(spool)
            assert caplog.text.count("cannot be used") == 1
            fill(spool, MOST_IN_MEMORY, first=55)
            spool.save()
            assert spool.counts.dropped == 50
        number = spool.number()
        now_ns[0] += RETRY_NS
        with caplog.at_level(logging.INFO):
            spool.save()
        assert "can be used again" in caplog.text
        assert spool.counts.ok
    with closing(Spool(place)) as spool:
        assert len(payloads(spool)) == 5 + MOST_IN_MEMORY
        assert spool.number() == number + 1


def test_numbers_that_were_given_while_the_disk_refused_are_not_given_again(
    place: SpoolSettings, at: Callable[[int], None]
) -> None:
    at(NOW_MS)
    path, now_ns = path_of(place), [0]
    before = numbers(place, 3)
    folder = path.parent.rename(path.parent.with_name("away"))
    path.parent.write_text("in the way")
    at(NOW_MS + 5000)
    with closing(Spool(place, clock=lambda: now_ns[0])) as spool:
        meanwhile = [spool.number(), spool.number()]
        fill(spool, 1)
        spool.save()
        (row,) = spool.waiting("event/people", without=(), most=9)
        spool.done(row.id)
        path.parent.unlink()
        folder.rename(path.parent)
        now_ns[0] += RETRY_NS
        spool.save()
        assert spool.counts.ok
        assert meanwhile[0] > before[-1]
    assert numbers(place, 1) == [meanwhile[-1] + 1]


def test_where_nothing_can_be_written_memory_has_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with closing(Spool(SpoolSettings(path=tmp_path / "file" / "a.spool"))) as spool:
        fill(spool, 2)
        spool.save()
        assert len(payloads(spool)) == 2
        assert not spool.counts.ok


def test_without_a_place_messages_wait_in_memory_and_nothing_is_amiss() -> None:
    with closing(Spool(SpoolSettings(path=None))) as spool:
        fill(spool, MOST_IN_MEMORY + 5)
        spool.save()
        assert payloads(spool)[0] == "event/people 5"
        assert (spool.counts.rows, spool.counts.dropped) == (MOST_IN_MEMORY, 5)
        assert spool.counts.ok


def test_two_processes_do_not_share_a_spool(place: SpoolSettings) -> None:
    with closing(Spool(place)) as first, closing(Spool(place)) as second:
        fill(first, 1)
        first.save()
        assert payloads(second) == []
        assert first.counts.ok
        assert not second.counts.ok
        with pytest.raises(ConfigError, match="stop the edge-pose that uses it first") as refused:
            purge(path_of(place))
        assert refused.value.exit_code == EXIT_OPERATOR


def test_a_purge_leaves_nothing(place: SpoolSettings) -> None:
    path = path_of(place)
    with closing(Spool(place)) as spool:
        fill(spool, 3)
        spool.save()
    path.with_name(path.name + ".broken").write_bytes(b"older")
    assert purge(path) == 3
    assert list(path.parent.iterdir()) == []
    assert purge(path) == 0


def test_nobody_else_may_read_the_file(place: SpoolSettings) -> None:
    with closing(Spool(place)) as spool:
        fill(spool, 1)
        spool.save()
        modes = {one.stat().st_mode & 0o777 for one in path_of(place).parent.iterdir()}
    assert modes == {0o600}


@pytest.mark.parametrize(
    ("environ", "folder"),
    [
        ({"STATE_DIRECTORY": "/var/lib/edge-pose:/b", "HOME": "/h"}, "/var/lib/edge-pose"),
        ({"XDG_STATE_HOME": "/x", "HOME": "/h"}, "/x/edge-pose"),
        ({"HOME": "/h"}, "/h/.local/state/edge-pose"),
    ],
)
def test_the_place_is_systemds_or_the_users(
    environ: dict[str, str], folder: str, tmp_path: Path
) -> None:
    toml = tmp_path / "a.toml"
    toml.write_text('[device]\nname = "edge 7"\n[spool]\nmax_rows = 5\n')
    config = load({}, environ={}, path=toml).config
    found = settings(config, environ)
    assert found.path == Path(folder) / "edge%207-cam0.spool"
    assert found.max_rows == 5
    toml.write_text(f'[spool]\nfolder = "{tmp_path}"\n[device]\nname = "a"')
    assert settings(load({}, environ={}, path=toml).config, environ).path == tmp_path / (
        "a-cam0.spool"
    )
    toml.write_text("[spool]\nenabled = false")
    assert settings(load({}, environ={}, path=toml).config, environ).path is None


def test_what_comes_and_goes_for_days_takes_little_room_on_the_disk(place: SpoolSettings) -> None:
    """SQLite's log alone would grow to 4 MB before it is written back: a whole small disk."""
    with closing(Spool(place)) as spool:
        for number in range(1200):
            fill(spool, 1, first=number)
            spool.save()
            (row,) = spool.waiting("event/people", without=(), most=1)
            spool.done(row.id)
        room = sum(file.stat().st_size for file in path_of(place).parent.iterdir())
        assert room < 1_000_000
