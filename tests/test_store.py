"""A model is installed when it is signed, whole, newer and ready; else the one before stays."""

import gzip
import io
import json
import os
import secrets
import shutil
import signal
import stat
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from appliance import start, write_clip
from edge_pose.bundle import GOLDEN, MANIFEST, open_bundle
from edge_pose.config import Config, ModelConfig
from edge_pose.errors import EXIT_OPERATOR, BundleError, ConfigError
from edge_pose.model import open_model
from edge_pose.parcel import unpack
from edge_pose.signature import SIGNATURE
from edge_pose.store import Store, chosen_bundle, default_store
from export.__main__ import main as export
from export.sign import keygen
from signing import Release, release

EDGE_POSE = [sys.executable, "-m", "edge_pose"]
ROUNDS = 12
"""Installs that are killed somewhere."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Release:
    return release(tmp_path_factory.mktemp("release"))


@pytest.fixture
def there(made: Release, tmp_path: Path) -> Release:
    """Work in a folder of the test's own."""
    return replace(made, folder=tmp_path)


@pytest.fixture
def store(there: Release, tmp_path: Path) -> Store:
    return Store(tmp_path / "models", there.trusted)


def fine(_folder: Path) -> None:
    """Any model is ready."""


def serial_of(store: Store, link: str = "current") -> int | None:
    path = store.path_of("current" if link == "current" else "previous")
    return None if path is None else store.read(path).signed.serial


def leftovers(store: Store) -> list[str]:
    return sorted(path.name for path in store.folder.iterdir() if path.name.startswith("."))


def test_a_signed_folder_and_a_signed_archive_become_current(there: Release, store: Store) -> None:
    assert store.path_of("current") is None
    found = store.install(there.bundle("one", 1), fine)
    assert (found.signed.serial, serial_of(store), serial_of(store, "previous")) == (1, 1, None)
    store.install(there.archived("two", 2), fine)
    assert (serial_of(store), serial_of(store, "previous")) == (2, 1)
    store.install(there.bundle("three", 3), fine)
    assert (serial_of(store), serial_of(store, "previous")) == (3, 2)
    folders = [path for path in store.folder.iterdir() if path.is_dir() and not path.is_symlink()]
    assert len(folders) == 2, "what no link means is removed"
    assert leftovers(store) == []


def test_rolling_back_swaps_and_can_be_undone(there: Release, store: Store) -> None:
    with pytest.raises(ConfigError, match="no previous model to go back to"):
        store.roll_back(fine)
    store.install(there.bundle("one", 1), fine)
    store.install(there.bundle("two", 2), fine)
    assert store.roll_back(fine).signed.serial == 1
    assert (serial_of(store), serial_of(store, "previous")) == (1, 2)
    store.roll_back(fine)
    assert (serial_of(store), serial_of(store, "previous")) == (2, 1)


def test_a_model_that_is_not_ready_never_becomes_current(there: Release, store: Store) -> None:
    store.install(there.bundle("one", 1), fine)
    asked: list[Path] = []

    def never(folder: Path) -> None:
        asked.append(folder)
        raise BundleError("its pictures come out wrong")

    with pytest.raises(BundleError, match="come out wrong"):
        store.install(there.bundle("two", 2), never)
    assert len(asked) == 1
    assert serial_of(store) == 1
    assert leftovers(store) == []
    store.install(there.bundle("two again", 2), fine)
    with pytest.raises(BundleError, match="come out wrong"):
        store.roll_back(never)
    assert serial_of(store) == 2


def test_an_older_model_is_refused_unless_somebody_insists(there: Release, store: Store) -> None:
    store.install(there.bundle("five", 5), fine)
    old = there.bundle("four", 4)
    with pytest.raises(BundleError, match=r"serial 4, installed is 5.*--allow-downgrade"):
        store.install(old, fine)
    assert serial_of(store) == 5
    store.install(old, fine, allow_downgrade=True)
    assert serial_of(store) == 4


def test_a_key_that_nobody_trusts_is_named(there: Release, store: Store, tmp_path: Path) -> None:
    _, stranger = keygen(tmp_path / "stranger.pem")
    alien = there.bundle("alien", 1, key=tmp_path / "stranger.pem")
    with pytest.raises(BundleError, match=f"signed by the key {stranger}, trusted are [0-9a-f]"):
        store.install(alien, fine)
    assert store.path_of("current") is None


def test_what_nobody_signed_is_refused(there: Release, store: Store) -> None:
    with pytest.raises(BundleError, match=r"is not signed: it has no signature\.json"):
        store.install(there.packed, fine)


def raise_serial(folder: Path) -> None:
    table = json.loads((folder / SIGNATURE).read_text())
    (folder / SIGNATURE).write_text(json.dumps({**table, "serial": 99}))


def change_version(folder: Path) -> None:
    text = (folder / MANIFEST).read_text()
    (folder / MANIFEST).write_text(text.replace('"0.0.1"', '"0.0.2"'))


def flip(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        data = bytearray((folder / name).read_bytes())
        data[len(data) // 2] ^= 1
        (folder / name).write_bytes(data)

    return change


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (change_version, "does not fit the manifest beside it"),
        (raise_serial, "does not fit the manifest beside it"),
        (flip("pose.onnx"), r"pose\.onnx has sha256"),
        (flip("detector.onnx"), r"detector\.onnx has sha256"),
        (flip(GOLDEN), r"golden\.npz has sha256"),
        (flip("card.md"), r"card\.md has sha256"),
        (lambda folder: (folder / "pose.onnx").unlink(), r"pose\.onnx cannot be read"),
        (lambda folder: (folder / MANIFEST).unlink(), r"manifest\.json cannot be read"),
        (lambda folder: (folder / "run.sh").write_text("x"), r"holds run\.sh, which nobody signed"),
        (lambda folder: (folder / SIGNATURE).write_text("{}"), r"signature\.json is no signature"),
        (lambda folder: (folder / "sub").mkdir(), "holds 'sub', a folder"),
        (lambda folder: (folder / "link").symlink_to("card.md"), "holds 'link', a link"),
    ],
)
def test_whatever_was_changed_after_signing_is_noticed(
    there: Release, store: Store, change: Callable[[Path], object], sentence: str
) -> None:
    store.install(there.bundle("good", 1), fine)
    bad = there.bundle("bad", 2)
    change(bad)
    with pytest.raises(BundleError, match=sentence) as caught:
        store.install(bad, fine)
    assert caught.value.exit_code == EXIT_OPERATOR
    assert "\n" not in str(caught.value)
    assert serial_of(store) == 1
    assert leftovers(store) == []


def test_a_model_that_was_changed_where_it_lies_is_not_opened(there: Release, store: Store) -> None:
    found = store.install(there.bundle("one", 1), fine)
    model = ModelConfig(trusted_keys=there.trusted, store=store.folder)
    assert chosen_bundle(model, {}).folder == found.bundle.folder
    change_version(found.bundle.folder)
    with pytest.raises(BundleError, match="does not fit the manifest"):
        chosen_bundle(model, {})


def test_a_key_that_is_taken_back_ends_what_it_signed(
    there: Release, store: Store, tmp_path: Path
) -> None:
    store.install(there.bundle("one", 5), fine)
    new = tmp_path / "new"
    new.mkdir()
    public, _ = keygen(tmp_path / "new.pem")
    public.rename(new / public.name)
    later = Store(store.folder, new)
    with pytest.raises(BundleError, match="is signed by the key"):
        chosen_bundle(ModelConfig(trusted_keys=new, store=store.folder), {})
    later.install(there.bundle("of the new key", 1, key=tmp_path / "new.pem"), fine)
    assert serial_of(later) == 1, "what is no longer trusted is no reason to refuse what is"


def test_without_a_trusted_key_or_with_a_bundle_named_nothing_installed_is_used(
    there: Release, store: Store
) -> None:
    store.install(there.bundle("one", 1), fine)
    named = ModelConfig(bundle=there.packed, trusted_keys=there.trusted, store=store.folder)
    assert chosen_bundle(named, {}).folder == there.packed
    assert chosen_bundle(ModelConfig(store=store.folder), {}).folder == open_bundle().folder
    empty = ModelConfig(trusted_keys=there.trusted, store=store.folder / "other")
    assert chosen_bundle(empty, {}).folder == open_bundle().folder


def test_a_folder_of_keys_with_something_else_in_it_is_an_error(
    there: Release, store: Store, tmp_path: Path
) -> None:
    keys = tmp_path / "keys"
    with pytest.raises(ConfigError, match=r"trusted keys in .* cannot be read"):
        Store(store.folder, keys).install(there.packed, fine)
    keys.mkdir()
    (keys / "private.pem").write_bytes(there.key.read_bytes())
    with pytest.raises(ConfigError, match=r"private\.pem is no Ed25519 public key"):
        Store(store.folder, keys).install(there.packed, fine)
    (keys / "private.pem").unlink()
    with pytest.raises(BundleError, match="trusted are nobody"):
        Store(store.folder, keys).install(there.bundle("one", 1), fine)


def test_without_cryptography_the_way_to_get_it_is_told(
    there: Release, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    with pytest.raises(ConfigError, match=r"pip install 'edge-pose\[signed\]'"):
        store.install(there.packed, fine)
    assert not store.folder.exists()


def test_models_may_be_read_by_all_and_keys_by_their_owner(there: Release, store: Store) -> None:
    folder = store.install(there.bundle("one", 1), fine).bundle.folder
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o644}
    assert stat.S_IMODE(there.key.stat().st_mode) == 0o600


def test_whoever_runs_them_reaches_the_models_of_somebody_who_shares_nothing_else(
    there: Release, tmp_path: Path
) -> None:
    store = Store(tmp_path / "lib" / "models", there.trusted)
    os.umask(0o077)  # as the command line has it; a fixture takes it back
    store.install(there.bundle("one", 1), fine)
    assert [stat.S_IMODE(path.stat().st_mode) for path in (store.folder, store.folder.parent)] == [
        0o755,
        0o755,
    ]
    store.folder.chmod(0o770)
    store.install(there.bundle("two", 2), fine)
    assert stat.S_IMODE(store.folder.stat().st_mode) == 0o775
    assert os.umask(0o077) == 0o077


def test_a_tier_names_a_model_of_the_package_whatever_is_installed(store: Store) -> None:
    fast, accurate = (
        chosen_bundle(ModelConfig(store=store.folder, tier=tier), {})
        for tier in ("fast", "accurate")
    )
    assert fast.folder == open_bundle().folder
    assert accurate.folder.name == "accurate"
    assert accurate.manifest.name != fast.manifest.name


def test_the_default_folder_is_systemds_and_else_the_users() -> None:
    assert default_store({"STATE_DIRECTORY": "/var/lib/x:/b"}) == Path("/var/lib/x/models")
    assert default_store({"XDG_DATA_HOME": "/d"}) == Path("/d/edge-pose/models")
    assert default_store({"HOME": "/h"}) == Path("/h/.local/share/edge-pose/models")


def tar(path: Path, members: list[tuple[tarfile.TarInfo, bytes]]) -> Path:
    with tarfile.open(path, "w") as file:
        for member, data in members:
            member.size = member.size or len(data)
            file.addfile(member, io.BytesIO(data) if data else None)
    return path


def entry(
    name: str, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = 0
) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname, member.size = kind, link, size
    return member


@pytest.mark.parametrize(
    ("members", "sentence"),
    [
        ([(entry("../evil"), b"x")], r"'\.\./evil', which would lie elsewhere"),
        ([(entry("/etc/evil"), b"x")], "'/etc/evil', which would lie elsewhere"),
        ([(entry("a/b/c"), b"x")], "'a/b/c', which would lie elsewhere"),
        ([(entry("a\\..\\c"), b"x")], "would lie elsewhere"),
        ([(entry("a\nb"), b"x")], r"'a\\nb', which would lie elsewhere"),
        ([(entry("card.md", tarfile.SYMTYPE, "/etc/passwd"), b"")], "'card.md', a link"),
        ([(entry("card.md", tarfile.LNKTYPE, "/etc/passwd"), b"")], "'card.md', a link"),
        ([(entry("card.md", tarfile.FIFOTYPE), b"")], "'card.md', a special file"),
        ([(entry("card.md"), b"x"), (entry("card.md"), b"y")], r"holds card\.md twice"),
        ([(entry(str(n)), b"x") for n in range(65)], "more than 64 files"),
        ([(entry(str(n), tarfile.DIRTYPE), b"") for n in range(300)], "more than 256 entries"),
        ([(entry("big"), bytes(2_000_001))], "unpacks to more than 2 MB"),
    ],
)
def test_an_archive_that_reaches_out_is_refused(
    tmp_path: Path, members: list[tuple[tarfile.TarInfo, bytes]], sentence: str
) -> None:
    target = tmp_path / "inside" / "target"
    target.mkdir(parents=True)
    path = tar(tmp_path / "evil.tar", members)
    with pytest.raises(BundleError, match=sentence) as caught:
        unpack(path, target, most_bytes=2_000_000)
    assert "\n" not in str(caught.value)
    assert {path.name for path in tmp_path.iterdir()} == {"evil.tar", "inside"}


def test_an_archive_may_hold_its_files_in_one_folder(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    members = [(entry("b", tarfile.DIRTYPE), b""), (entry("./b/x"), b"1"), (entry("y"), b"2")]
    unpack(tar(tmp_path / "good.tar", members), tmp_path / "target")
    assert {path.name for path in (tmp_path / "target").iterdir()} == {"x", "y"}


def test_a_bomb_is_refused_before_it_fills_the_disk_or_the_memory(tmp_path: Path) -> None:
    """300 MB of zeros in 300 kB; and a header that says that it is 8 GB long."""
    bomb = tmp_path / "bomb.tar.gz"
    with gzip.open(bomb, "wb", compresslevel=1) as file:
        file.write(entry("zeros", size=300_000_000).tobuf())
        for _ in range(300):
            file.write(bytes(1_000_000))
    target = tmp_path / "target"
    target.mkdir()
    with pytest.raises(BundleError, match="unpacks to more than 10 MB"):
        unpack(bomb, target, most_bytes=10_000_000)
    assert sum(path.stat().st_size for path in target.iterdir()) <= 10_000_000
    for kind in (tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.XGLTYPE):
        for size in (8 << 20, 8 << 30):
            header = entry("header", kind, size=size).tobuf(tarfile.GNU_FORMAT)
            long = tmp_path / "long.tar"
            long.write_bytes(header + bytes(9 << 20))
            with pytest.raises(BundleError, match="unpacks to more than 1074 MB, or says so"):
                unpack(long, target)


@pytest.mark.parametrize("data", [b"", b"not a tar", b"\x1f\x8b", b"\x1f\x8b" + bytes(100)])
def test_an_archive_that_is_none_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "x.tar").write_bytes(data)
    with pytest.raises(BundleError, match=r"x\.tar"):
        unpack(tmp_path / "x.tar", tmp_path / "target")
    with pytest.raises(BundleError, match=r"nowhere.* cannot be read"):
        unpack(tmp_path / "nowhere", tmp_path / "target")


def spoil_golden(folder: Path) -> None:
    with np.load(folder / GOLDEN) as stored:
        golden = dict(stored)
    golden["pose.joints_px"] = golden["pose.joints_px"] + np.float32(5.0)
    np.savez_compressed(folder / GOLDEN, allow_pickle=False, **golden)


def words(there: Release, store: Store, *more: str | Path) -> list[str]:
    keys = ["--trusted-keys", str(there.trusted), "--store", str(store.folder)]
    return [*EDGE_POSE, "model", *map(str, more), *keys]


def test_the_command_installs_lists_rolls_back_and_says_what_is_wrong(
    there: Release, store: Store
) -> None:
    def run(*more: str | Path) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            words(there, store, *more), capture_output=True, text=True, check=False, timeout=60
        )

    assert run("list").stdout.startswith("none ")
    done = run("install", there.archived("one", 1))
    assert (done.returncode, done.stdout.split(", ")[:2]) == (
        0,
        ["current   stand-in 0.0.1", "serial 1"],
    ), done.stderr
    done = run("install", there.edited("spoilt", 2, spoil_golden))
    assert done.returncode == EXIT_OPERATOR
    assert "come out 5.00 px" in done.stderr
    assert run("install", there.bundle("two", 2)).returncode == 0
    listed = run("list").stdout.splitlines()
    assert ["serial 2" in listed[0], "serial 1" in listed[1]] == [True, True]
    assert run("rollback").returncode == 0
    assert serial_of(store) == 1
    assert run("install").returncode == EXIT_OPERATOR
    current = store.path_of("current")
    assert current is not None
    flip("card.md")(current)
    done = run("list")
    assert (done.returncode, "not believed" in done.stdout) == (EXIT_OPERATOR, True)
    for text in (done.stderr, done.stdout):
        assert "Traceback" not in text


def test_what_is_installed_is_what_runs(there: Release, store: Store, tmp_path: Path) -> None:
    store.install(there.bundle("one", 1), fine)
    clip = write_clip(tmp_path / "walking.avi", frames=2)
    path = tmp_path / "line.toml"
    path.write_text(
        f'[model]\ntrusted_keys = "{there.trusted}"\nstore = "{store.folder}"\n', encoding="utf-8"
    )
    with start("run", clip, "--config", path, "--output", "jsonl") as child:
        out, err = child.communicate(timeout=60)
    assert child.returncode == 0, err
    assert json.loads(out.splitlines()[0])["meta"]["model"]["name"] == "stand-in"
    config = Config(model=ModelConfig(trusted_keys=there.trusted, store=store.folder))
    with open_model(config) as model:
        assert model.bundle.folder == store.path_of("current")


@pytest.mark.slow
def test_an_install_that_is_killed_anywhere_leaves_the_old_model_or_the_new_one(
    there: Release, store: Store
) -> None:
    store.install(there.bundle("0", 0), fine)
    begin_s = time.monotonic()
    subprocess.run(
        words(there, store, "install", there.bundle("1", 1)), check=True, capture_output=True
    )
    whole_s = time.monotonic() - begin_s
    current = 1
    for serial in range(2, 2 + ROUNDS):
        bundle = there.bundle(str(serial), serial)
        with subprocess.Popen(
            words(there, store, "install", bundle),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as child:
            time.sleep((30 + secrets.randbelow(80)) / 100.0 * whole_s)
            child.kill()
        found = serial_of(store)
        assert found in (current, serial)
        current = serial if found == serial else current
        shutil.rmtree(bundle)
    store.install(there.bundle("last", 99), fine)
    assert leftovers(store) == []


def test_a_kill_between_any_two_steps_leaves_a_whole_current_model(
    there: Release, store: Store
) -> None:
    """Ends the process at the n-th call of the kernel that changes the folder, for every n."""
    store.install(there.bundle("one", 1), fine)
    program = """
import os, sys
from pathlib import Path
from edge_pose.store import Store
left = int(sys.argv[4])
def counted(name):
    real = getattr(os, name)
    def step(*words, **more):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), 9)
        return real(*words, **more)
    setattr(os, name, step)
for name in ("mkdir", "rename", "replace", "symlink", "unlink", "rmdir", "chmod", "fsync"):
    counted(name)
Store(Path(sys.argv[1]), Path(sys.argv[2])).install(Path(sys.argv[3]), lambda folder: None)
"""
    serial, current, steps, ends = 1, 1, 0, []
    while True:
        serial += 1
        bundle = there.bundle(str(serial), serial)
        done = subprocess.run(
            [sys.executable, "-c", program, store.folder, there.trusted, bundle, str(steps)],
            check=False,
            capture_output=True,
            text=True,
        )
        found = serial_of(store)
        assert found in (current, serial), (steps, found)
        ends.append("new" if found == serial else "old")
        current = serial if found == serial else current
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL, done.stderr
        steps += 1
    assert steps > 10
    assert set(ends[:-1]) == {"old", "new"}
    assert leftovers(store) == []


def test_the_gate_signs_on_the_command_line(
    made: Release, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export(["keygen", str(tmp_path / "k.pem")]) == 0
    assert "k.public.pem" in capsys.readouterr().out
    assert export(["keygen", str(tmp_path / "k.pem")]) == EXIT_OPERATOR
    copy = Path(shutil.copytree(made.packed, tmp_path / "copy"))
    tarred = tmp_path / "copy.tar.gz"
    key = str(tmp_path / "k.pem")
    assert export(["sign", str(copy), "--key", key, "--archive", str(tarred)]) == 0
    keys = tmp_path / "keys"
    keys.mkdir()
    (tmp_path / "k.public.pem").rename(keys / "k.pem")
    store = Store(tmp_path / "models", keys)
    found = store.install(tarred, fine)
    assert abs(found.signed.serial - time.time()) < 3600
    assert export(["sign", str(copy), "--key", str(keys / "k.pem")]) == EXIT_OPERATOR
    flip("card.md")(copy)
    assert export(["sign", str(copy), "--key", key]) == EXIT_OPERATOR
