"""Engines that were built here: kept whole or not at all, and believed only under their own key.

In: a key that names everything an engine depends on, and its bytes. Out: these bytes again, or the
reason why what lies there is not believed.  A file is a line that says what it is, a line of JSON
with the key, and the engine; it appears by rename, so a build that is killed leaves nothing that is
later read.
"""

import fcntl
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from edge_pose.errors import ConfigError

_MAGIC: Final = b"edge-pose engine 1\n"
_UNFINISHED: Final = ".part"
_DIGITS: Final = 20
"""Hexadecimal digits of the key's hash in a file name; the whole key stands in the file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineKey:
    """Everything that an engine depends on; one difference and it is another engine."""

    what: str
    """`detector` or `pose`; or `timing` for what the builder measured."""
    network_sha256: str
    runtime: str
    """`TensorRT` or `TensorRT-RTX`."""
    version: str
    gpu: str
    compute_capability: str
    precision: str
    options: str

    @property
    def file_name(self) -> str:
        """Return a name that no other key has."""
        digest = hashlib.sha256(_canonical(asdict(self))).hexdigest()
        return f"{re.sub(r'[^a-z0-9-]', '_', self.what)}-{digest[:_DIGITS]}.engine"


class EngineCache:
    """A folder of engines."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, key: EngineKey) -> bytes | str:
        """Return the engine, or a sentence's worth of reason why there is none to believe."""
        path = self.folder / key.file_name
        try:
            return _believed(path.read_bytes(), key, path)
        except FileNotFoundError:
            return "none was built for this network, TensorRT, GPU and precision yet"
        except OSError as error:
            return f"{path} cannot be read ({error.strerror})"

    def write(self, key: EngineKey, engine: bytes) -> Path:
        """Keep an engine, all of it on the disk before its name is; call it while `building`."""
        path = self.folder / key.file_name
        header = {
            "key": asdict(key),
            "sha256": hashlib.sha256(engine).hexdigest(),
        }
        unfinished = path.with_suffix(f".{os.getpid()}{_UNFINISHED}")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with unfinished.open("wb") as file:
                file.write(_MAGIC + _canonical(header) + b"\n")
                file.write(engine)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(path)
            _sync(self.folder)
        except OSError as error:
            with suppress(OSError):
                unfinished.unlink()
            raise ConfigError(
                f"{path} cannot be written ({error.strerror}); wanted a folder for engines that "
                "this user may write to: make room, or name another in --engines or "
                "XDG_CACHE_HOME"
            ) from error
        return path

    def discard(self, key: EngineKey) -> None:
        """Forget an engine that its runtime would not load."""
        (self.folder / key.file_name).unlink(missing_ok=True)

    @contextmanager
    def building(self) -> Iterator[None]:
        """Let one process build at a time, and clear what killed ones left half-written."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = (self.folder / "lock").open("wb")
        except OSError as error:
            raise ConfigError(
                f"{self.folder} cannot hold engines ({error.strerror}); name a folder that this "
                "user may write to in --engines or XDG_CACHE_HOME"
            ) from error
        with lock:  # a process that dies gives its lock back
            fcntl.flock(lock, fcntl.LOCK_EX)
            for left in self.folder.glob(f"*{_UNFINISHED}"):
                left.unlink(missing_ok=True)
            yield


def default_folder(environ: Mapping[str, str]) -> Path:
    """Where engines are kept: systemd's CacheDirectory, else the user's own cache."""
    if given := environ.get("CACHE_DIRECTORY"):
        return Path(given.split(":")[0]) / "engines"
    home = environ.get("XDG_CACHE_HOME") or f"{environ.get('HOME', '')}/.cache"
    return Path(home) / "edge-pose" / "engines"


def _believed(data: bytes, key: EngineKey, path: Path) -> bytes | str:
    """Take the engine out of a file when everything that the file says of it holds."""
    head, _, rest = data.partition(b"\n")
    told, _, engine = rest.partition(b"\n")
    try:
        header = json.loads(told)
    except ValueError:
        header = None
    if head + b"\n" != _MAGIC or not isinstance(header, dict):
        return f"{path} is not an engine of this program"
    if header.get("key") != asdict(key):
        return f"{path} was built for something else"
    if header.get("sha256") != hashlib.sha256(engine).hexdigest():
        return f"{path} is damaged: its {len(engine)} bytes are not those that were built"
    return engine


def _canonical(table: Mapping[str, object]) -> bytes:
    return json.dumps(table, sort_keys=True, separators=(",", ":")).encode()


def _sync(folder: Path) -> None:
    """Make a rename last through a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
