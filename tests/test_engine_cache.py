"""A kept engine is the one that was asked for, whole, or it is not believed."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from dataclasses import fields, replace
from pathlib import Path

import pytest

from edge_pose.engines.engine_cache import EngineCache, EngineKey, default_folder
from edge_pose.errors import EXIT_OPERATOR, ConfigError

KEY = EngineKey(
    what="pose",
    network_sha256="ab" * 32,
    runtime="TensorRT",
    version="10.3.0",
    gpu="Orin",
    compute_capability="8.7",
    precision="fp16",
    options="none",
)
ENGINE = bytes(range(256)) * 40
WRITER = """
import itertools, sys
from pathlib import Path
from edge_pose.engines.engine_cache import EngineCache, EngineKey
cache, key = EngineCache(Path(sys.argv[1])), EngineKey(**eval(sys.argv[2]))
for number in itertools.count():
    with cache.building():
        cache.write(key, bytes([number % 256]) * 8_000_000)
    print(number, flush=True)
"""


@pytest.fixture
def cache(tmp_path: Path) -> EngineCache:
    return EngineCache(tmp_path / "engines")


def write(cache: EngineCache, key: EngineKey = KEY, engine: bytes = ENGINE) -> Path:
    with cache.building():
        return cache.write(key, engine)


def test_what_was_kept_comes_back_in_another_process_of_ours(cache: EngineCache) -> None:
    assert "none was built" in str(cache.read(KEY))
    write(cache)
    assert EngineCache(cache.folder).read(KEY) == ENGINE


@pytest.mark.parametrize("name", [field.name for field in fields(EngineKey)])
def test_an_engine_for_anything_else_is_not_believed(cache: EngineCache, name: str) -> None:
    """Also when its file lies where the wanted one would."""
    other = replace(KEY, **{name: "9.9"})
    path = write(cache, other)
    assert isinstance(cache.read(KEY), str)
    path.rename(cache.folder / KEY.file_name)
    assert "was built for something else" in str(cache.read(KEY))


@pytest.mark.parametrize("left", [0, 1, 18, 19, 20, 200, 600, 5000, -1])
def test_an_engine_that_ends_too_early_is_not_believed(cache: EngineCache, left: int) -> None:
    path = write(cache)
    path.write_bytes(path.read_bytes()[:left])
    assert isinstance(cache.read(KEY), str)


@pytest.mark.parametrize("place", [0, 3, 19, 30, 300, 3000, -1])
def test_one_changed_byte_is_noticed(cache: EngineCache, place: int) -> None:
    path = write(cache)
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)
    assert isinstance(cache.read(KEY), str)


@pytest.mark.parametrize("text", [b"", b"\x00" * 4096, b"edge-pose engine 1\n[]\n", b"\n\n\n"])
def test_a_file_that_is_no_engine_of_ours_is_named(cache: EngineCache, text: bytes) -> None:
    path = write(cache)
    path.write_bytes(text)
    assert f"{path} is not an engine of this program" == cache.read(KEY)


def test_an_engine_with_line_ends_at_its_ends_is_kept_as_it_is(cache: EngineCache) -> None:
    write(cache, engine=b"\n\nengine\n")
    assert cache.read(KEY) == b"\n\nengine\n"


def test_a_forgotten_engine_is_gone(cache: EngineCache) -> None:
    write(cache)
    cache.discard(KEY)
    cache.discard(KEY)
    assert isinstance(cache.read(KEY), str)


def hold_while_it_writes(writer: subprocess.Popen[str], folder: Path) -> None:
    """Stop a writer at a moment when its file is half-written, however fast the disk is."""
    deadline_s = time.monotonic() + 30
    while time.monotonic() < deadline_s:
        writer.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, writer.pid, os.WSTOPPED)
        if list(folder.glob("*.part")):
            return
        writer.send_signal(signal.SIGCONT)
        time.sleep(0.001)
    pytest.fail("a writer that writes all the time was never met while it wrote")


def test_a_writer_that_is_killed_at_any_moment_leaves_a_whole_engine(cache: EngineCache) -> None:
    """The one before, or the new one, never a part; and what it left is cleared by the next."""
    write(cache, engine=b"\x00" * 8_000_000)
    words = {field.name: getattr(KEY, field.name) for field in fields(KEY)}
    leftovers = 0
    chance = random.Random(5)  # noqa: S311 - moments, not secrets
    for turn in range(12):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(cache.folder), repr(words)],
            stdout=subprocess.PIPE,
            text=True,
        ) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            time.sleep(chance.uniform(0.0, 0.05))
            if turn % 2:
                hold_while_it_writes(writer, cache.folder)
            writer.send_signal(signal.SIGKILL)
            writer.wait(10)
        kept = cache.read(KEY)
        assert isinstance(kept, bytes), kept
        assert len(kept) == 8_000_000
        assert len(set(kept)) == 1
        leftovers += len(list(cache.folder.glob("*.part")))
    assert leftovers >= 6, "no writer was killed while it wrote; this test shows nothing"
    with cache.building():
        assert list(cache.folder.glob("*.part")) == []


def test_one_process_builds_at_a_time(cache: EngineCache) -> None:
    entered = threading.Event()

    def enter() -> None:
        with EngineCache(cache.folder).building():
            entered.set()

    second = threading.Thread(target=enter)
    with cache.building():
        second.start()
        assert not entered.wait(0.2)
    second.join(10)
    assert entered.is_set()


def test_a_folder_that_cannot_hold_engines_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    cache = EngineCache(tmp_path / "file" / "engines")
    with pytest.raises(ConfigError, match=r"engines cannot hold engines \(Not a dir.*--engines"):
        write(cache)
    with pytest.raises(ConfigError, match=r"\.engine cannot be written \(Not a directory"):
        cache.write(KEY, ENGINE)
    assert "cannot be read (Not a directory)" in str(cache.read(KEY))
    assert ConfigError.exit_code == EXIT_OPERATOR


def test_engines_are_kept_where_systemd_or_the_user_says() -> None:
    assert default_folder({"CACHE_DIRECTORY": "/var/cache/edge-pose", "HOME": "/h"}) == Path(
        "/var/cache/edge-pose/engines"
    )
    assert default_folder({"XDG_CACHE_HOME": "/c", "HOME": "/h"}) == Path("/c/edge-pose/engines")
    assert default_folder({"HOME": "/h"}) == Path("/h/.cache/edge-pose/engines")
    assert default_folder(dict(os.environ)).name == "engines"
