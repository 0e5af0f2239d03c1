"""Bad input for everything that reads what others wrote: a strategy and a reader for each.

A reader may return or raise an error that carries a sentence; anything else is a bug, and so is a
sentence that does not fit on one line.
"""

import gzip
import io
import json
import os
import shutil
import string
import tarfile
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from edge_pose import feed
from edge_pose.address import Topics, parse_broker
from edge_pose.bundle import MANIFEST, open_bundle, packaged
from edge_pose.camera import read_calibration
from edge_pose.clip import pictures
from edge_pose.config import COMMANDS, CameraConfig
from edge_pose.config.read import Setting, keys, load, variable
from edge_pose.config.rules import secret
from edge_pose.config.show import default_text, effective_text
from edge_pose.errors import EdgePoseError
from edge_pose.log import redact
from edge_pose.manifest import read_manifest
from edge_pose.mqtt.client import Received
from edge_pose.parcel import plain_name, unpack
from edge_pose.recorded import recorded
from edge_pose.remote import Asked, Desk
from edge_pose.signature import SIGNATURE, key_id, verify
from edge_pose.view.hub import Hub

BATCH: Final = 1000
"""Hypothesis remembers every case of a run, so runs are kept short."""
MOST_UNPACKED: Final = 100_000
_FOLDER: Final = tempfile.TemporaryDirectory(prefix="edge-pose-fuzz-")
SCRATCH: Final = Path(_FOLDER.name)
"""Files that readers read; one process, one folder."""


@dataclass(frozen=True)
class Target:
    """Something that reads what others wrote."""

    cases: st.SearchStrategy[Any]
    read: Callable[[Any], object]
    seeds: tuple[bytes, ...] = ()
    """Good bytes to begin with, where bytes are what it reads."""


def run(target: Target, cases: int, *, first_seed: int = 0) -> int:
    """Try so many cases; a crash is raised as the smallest case that shows it."""
    done = 0
    while done < cases:
        batch = min(BATCH, cases - done)

        @seed(first_seed + done)
        @settings(
            max_examples=batch,
            database=None,
            deadline=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=target.cases)
        def attempt(case: Any) -> None:
            nonlocal done
            done += 1
            survive(target.read, case)

        attempt()
    return done


def survive(read: Callable[[Any], object], case: Any) -> None:
    """Have one case read."""
    try:
        read(case)
    except EdgePoseError as error:
        told = str(error)
        assert told, "an error without a sentence"
        assert "\n" not in told, told


def written(data: bytes, name: str = "case") -> Path:
    path = SCRATCH / name
    path.write_bytes(data)
    return path


PIECES: Final = (
    b"\0",
    b"\xff",
    b"\n",
    b'"',
    b"[",
    b"9",
    b"9" * 400,
    b"0x" + b"f" * 5000,
    b"1e999",
    b"NaN",
    b"-1",
    b"null",
)
DEEP: Final = (b"[" * 9999, b'{"a":' * 9999, b"a = " + b"[" * 9999, b"[a]\nb = " + b"{c = " * 9999)
"""What makes a reader call itself more often than it may."""


def spoilt(*seeds: bytes) -> st.SearchStrategy[bytes]:
    """Take good bytes and cut, repeat, flip and overwrite some of them; or any bytes at all."""

    @st.composite
    def spoil(draw: st.DrawFn) -> bytes:
        data = bytearray(draw(st.sampled_from(seeds)))
        for _ in range(draw(st.integers(1, 6))):
            at = draw(st.integers(0, len(data)))
            kind = draw(st.integers(0, 4))
            if kind == 0:
                del data[at : at + draw(st.integers(1, 64))]
            elif kind == 1:
                data[at:at] = draw(st.binary(max_size=16))
            elif kind == 2:
                data[at : at + 1] = draw(st.sampled_from(PIECES))
            elif kind == 3:
                data[at:at] = data[at : at + draw(st.integers(1, 600))]
            else:
                del data[at:]
        return bytes(data)

    return spoil() | st.binary(max_size=256) | st.sampled_from(DEEP)


def text(data: bytes) -> str:
    return data.decode(errors="replace")


VALUES: Final = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from(["", "0", "-1", "1e999", "nan", "a/b", "$x", "+", "#", "rtsp://[", "::1"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=5,
)


def toml(value: object) -> str:
    """Write a value as TOML would, or nearly."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)} = {toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, float):
        return repr(value)
    return json.dumps(value)


@st.composite
def tables(draw: st.DrawFn) -> bytes:
    """Draw settings that are well-formed, with known names and any values."""
    names = draw(st.lists(st.sampled_from([*keys()]), max_size=5, unique=True))
    sections: dict[str, list[str]] = {}
    for name in names:
        section, _, key = name.partition(".")
        sections.setdefault(section, []).append(f"{key} = {toml(draw(VALUES))}")
    lines = [f"[{section}]\n" + "\n".join(rows) for section, rows in sections.items()]
    return "\n".join(lines).encode(errors="replace")


def read_settings(data: bytes) -> None:
    effective_text(load({}, environ={}, path=written(data, "line.toml")))


def read_environment(values: Mapping[str, str]) -> None:
    effective_text(load({}, environ={variable(name): value for name, value in values.items()}))


def nobody_is_called(host: str, port: int, timeout_s: float = 0.0) -> str | None:
    """Stand for the network."""
    return f"is not asked at {host}, {port}, {timeout_s:g}"


def read_camera(address: str) -> None:
    given = {"camera.source": Setting(value=address, origin="SOURCE", is_text=False)}
    load(given, environ={})
    camera = CameraConfig(source=address, username="u")
    redact(address)
    if not feed.is_device(address) and not feed.is_stream(address):
        pictures(Path(address)).close()
    known = urlsplit(address).scheme in feed.STREAM_PORTS
    if feed.is_device(address) or (feed.is_stream(address) and known):
        feed.with_credentials(camera)
        with patch.object(feed, "unreachable", nobody_is_called):
            feed.why_not(address)


def read_broker(address: str) -> None:
    assert parse_broker(address).url
    Topics(root=address, device=address, cam=address)


def read_manifest_bytes(data: bytes) -> None:
    folder = SCRATCH / "bundle"
    folder.mkdir(exist_ok=True)
    (folder / MANIFEST).write_bytes(data)
    open_bundle(folder)


def read_manifest_table(change: tuple[list[str], object]) -> None:
    path, value = change
    table = json.loads(good_manifest())
    at = table
    for key in path[:-1]:
        if not isinstance(at, dict) or not isinstance(at.get(key), dict):
            break
        at = at[key]
    at[path[-1]] = value
    read_manifest(table, where="manifest.json")


@cache
def good_manifest() -> bytes:
    return (packaged() / MANIFEST).read_bytes()


def manifest_paths() -> list[list[str]]:
    def walk(table: dict[str, Any], before: list[str]) -> list[list[str]]:
        found = []
        for key, value in table.items():
            found.append([*before, key])
            if isinstance(value, dict):
                found += walk(value, [*before, key])
        return found

    return walk(json.loads(good_manifest()), [])


def read_signature(data: bytes) -> None:
    key = Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key()
    folder = SCRATCH / "signed"
    folder.mkdir(exist_ok=True)
    (folder / SIGNATURE).write_bytes(data)
    verify(folder, b"{}", {key_id(key.public_bytes_raw()): key})


def read_archive(data: bytes) -> None:
    folder = SCRATCH / "around" / "inside"
    shutil.rmtree(folder.parent, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        unpack(written(data, "case.tar"), folder, most_bytes=MOST_UNPACKED)
    finally:
        assert os.listdir(folder.parent) == ["inside"]  # noqa: PTH208 - a million times
        found = [*os.scandir(folder)]
        assert all(entry.is_file(follow_symlinks=False) for entry in found)
        assert sum(entry.stat().st_size for entry in found) <= MOST_UNPACKED


@cache
def archives() -> tuple[bytes, ...]:
    made = []
    for format_ in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w", format=format_) as file:
            long = "x" if format_ == tarfile.USTAR_FORMAT else "y" * 120
            for name, kind in (("b", tarfile.DIRTYPE), (f"b/{long}", tarfile.REGTYPE),
                               ("é", tarfile.REGTYPE), ("l", tarfile.SYMTYPE)):  # fmt: skip
                member = tarfile.TarInfo(name)
                member.type, member.linkname = kind, "../x" if kind == tarfile.SYMTYPE else ""
                member.size = 10 if kind == tarfile.REGTYPE else 0
                file.addfile(member, io.BytesIO(b"0123456789"))
        made.append(stream.getvalue()[: 8 * 512 + 1024])
    return (*made, *(gzip.compress(one, 1) for one in made))


def read_command(case: tuple[str, bytes, bool]) -> None:
    name, payload, retained = case
    desk = Desk(dict.fromkeys(COMMANDS, dict), COMMANDS)
    told = desk.handle(Asked(name=name, payload=payload, retained=retained))
    assert told is None or isinstance(json.loads(told)["ok"], bool)


def read_page(case: tuple[str, bytes]) -> None:
    Hub("mqtt://x", "edge-pose").post(Received(*case))


RECORDED: Final = (
    b'{"meta":{"joints":[]},"seq":0,"ts":1,"size":[4,3],"lat_ms":{"infer":1.0},"persons":[{"id":1,'
    b'"score":0.9,"box":[0.0,0.0,1.0,1.0],"kp":'
    + json.dumps([[0.0, 0.0, 1.0, 0.9]] * 25).encode()
    + b',"kp_px":'
    + json.dumps([[0.0, 0.0]] * 25).encode()
    + b',"predicted":[1]}]}\n'
)
CALIBRATION: Final = (
    b'{"fx":500.0,"fy":500.0,"cx":320.0,"cy":240.0,"width":640,"height":480,'
    b'"distortion":[0.1,0.0,0.0,0.0,0.0]}'
)
SIGNED: Final = b'{"key":"0123456789abcdef","serial":7,"signature":"AAAA"}'
ADDRESSES: Final = (
    b"rtsp://user:pass@camera.local:554/stream?token=x", b"http://[::1]:80/", b"/dev/video0", b"0",
    b"mqtts://user@host:8883", b"host:1883", b"plant/line-3", b"clip.mp4",
)  # fmt: skip
COMMAND: Final = st.sampled_from(COMMANDS) | st.text(string.printable, max_size=80) | st.text()


def of_bytes(read: Callable[[bytes], object], *seeds: bytes) -> Target:
    """Make a target of something that reads bytes."""
    return Target(spoilt(*seeds), read, seeds)


def targets() -> dict[str, Target]:
    """Everything that reads what others wrote."""
    whole = default_text().replace("\n#", "\n").encode()
    addresses = spoilt(*ADDRESSES).map(text)
    ids = spoilt(b'{"id": "7"}', b'{"id": 7}')
    pairs = st.dictionaries(st.sampled_from([*keys()]), addresses | VALUES.map(str), max_size=4)
    return {
        "settings": of_bytes(read_settings, default_text().encode(), whole),
        "settings, values": Target(tables(), read_settings),
        "environment": Target(pairs, read_environment),
        "camera addresses": Target(addresses, read_camera),
        "broker addresses": Target(addresses, read_broker),
        "secret files": of_bytes(lambda data: secret(written(data), name="x"), b"password\n"),
        "calibrations": of_bytes(
            lambda data: read_calibration(written(data, "lens.json")), CALIBRATION
        ),
        "manifests": of_bytes(read_manifest_bytes, good_manifest()),
        "manifests, values": Target(
            st.tuples(st.sampled_from(manifest_paths()), VALUES), read_manifest_table
        ),
        "signatures": of_bytes(read_signature, SIGNED),
        "archives": of_bytes(read_archive, *archives()),
        "names in archives": Target(
            addresses | st.text(), lambda name: plain_name(name, Path("x.tar"))
        ),
        "commands": Target(st.tuples(COMMAND, ids, st.booleans()), read_command),
        "messages for the page": Target(st.tuples(st.text(), st.binary()), read_page),
        "recordings": of_bytes(lambda data: [*recorded(written(data, "x.jsonl"))], RECORDED),
    }
