"""The folder of installed models: `current` and `previous` are links, swapped in one step.

In: a delivered bundle and the keys that are trusted.  Out: a model that is current because it was
signed, whole, newer and ready; whatever fails, and whenever we are killed, the one before stays.

    models/current -> 1764158000-ab12cd34ef56-7f3a   what `edge-pose run` opens
           previous -> …                             what `edge-pose model rollback` goes back to
           .staging-…                                unfinished; cleared by the next install

Models hold no secret and whoever runs them is often another user than whoever installs them, so
everybody may read them, and only their owner may write.
"""

import fcntl
import hashlib
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from edge_pose.bundle import MANIFEST, Bundle, open_bundle, packaged
from edge_pose.config import ModelConfig
from edge_pose.errors import BundleError, ConfigError
from edge_pose.parcel import unpack
from edge_pose.signature import SIGNATURE, Signed, trusted_keys, verify
from edge_pose.state import given_folder

Link = Literal["current", "previous"]

_STAGING: Final = ".staging-"
_NEW_LINK: Final = ".link-"
_DIGITS: Final = 12
_MOST_MANIFEST: Final = 1 << 20
"""Bytes; what is longer is read in part, so that no signature fits it."""
_FOLDER_MODE: Final = 0o755
_FILE_MODE: Final = 0o644


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """A bundle that is believed, and who vouches for it."""

    bundle: Bundle
    signed: Signed

    def __str__(self) -> str:
        manifest = self.bundle.manifest
        return (
            f"{manifest.name} {manifest.version}, serial {self.signed.serial}, "
            f"signed by {self.signed.key}"
        )


Ready = Callable[[Path], None]
"""Raises an EdgePoseError when a model of that folder cannot do its work here."""


class Store:
    """A folder of models."""

    def __init__(self, folder: Path, keys: Path) -> None:
        self.folder = folder
        self._keys = keys

    def path_of(self, link: Link) -> Path | None:
        """Tell which folder a link means; None where there is none."""
        try:
            target = (self.folder / link).readlink()
        except PermissionError as error:
            raise ConfigError(
                f"{self.folder} cannot be looked into ({error.strerror}); ask as root, or let "
                "everybody read it with chmod 755"
            ) from None
        except OSError:
            return None
        path = self.folder / target.name
        return path if path.is_dir() else None

    def read(self, folder: Path) -> Installed:
        """Believe a folder: signed by a trusted key, every file as signed, and no other file."""
        try:
            with (folder / MANIFEST).open("rb") as file:
                manifest = file.read(_MOST_MANIFEST)
        except OSError as error:
            raise BundleError(
                f"{folder / MANIFEST} cannot be read ({error.strerror}); wanted the manifest of a "
                "signed bundle"
            ) from None
        signed = verify(folder, manifest, trusted_keys(self._keys))
        bundle = open_bundle(folder)
        named = {MANIFEST, SIGNATURE, *bundle.manifest.sha256}
        if strangers := sorted({path.name for path in folder.iterdir()} - named):
            raise BundleError(
                f"{folder} holds {', '.join(strangers)}, which nobody signed; "
                "remove it, or fetch the bundle again"
            )
        return Installed(bundle=bundle, signed=signed)

    def install(self, source: Path, ready: Ready, *, allow_downgrade: bool = False) -> Installed:
        """Make a delivered bundle the current one, or raise and leave everything as it was."""
        trusted_keys(self._keys)  # before anything is copied
        with self._locked():
            staging = self.folder / f"{_STAGING}{secrets.token_hex(4)}"
            staging.mkdir(mode=0o700)
            try:
                unpack(source, staging)
                found = self.read(staging)
                self._refuse_downgrade(found, allowed=allow_downgrade)
                ready(staging)
                _settle(staging)
                manifest = (staging / MANIFEST).read_bytes()
                digest = hashlib.sha256(manifest).hexdigest()[:_DIGITS]
                name = f"{found.signed.serial}-{digest}-{secrets.token_hex(2)}"
                staging.rename(self.folder / name)
            except BaseException:
                shutil.rmtree(staging, ignore_errors=True)
                raise
            self._turn_to(name)
            self._clear()
        return self.read(self.folder / name)

    def roll_back(self, ready: Ready) -> Installed:
        """Make the previous model the current one, if it still does its work."""
        with self._locked():
            previous, current = self.path_of("previous"), self.path_of("current")
            if previous is None or previous == current:
                raise ConfigError(
                    f"{self.folder} holds no previous model to go back to; "
                    "`edge-pose model install` brings one"
                )
            found = self.read(previous)
            ready(previous)
            self._turn_to(previous.name)
        return found

    def _refuse_downgrade(self, found: Installed, *, allowed: bool) -> None:
        current = self.path_of("current")
        if current is None or allowed:
            return
        try:
            newest = self.read(current).signed.serial
        except BundleError:  # its key was taken back, or it was damaged: anything trusted is better
            return
        if found.signed.serial < newest:
            raise BundleError(
                f"the bundle has serial {found.signed.serial}, installed is {newest}: it is older; "
                "--allow-downgrade installs it all the same"
            )

    def _turn_to(self, name: str) -> None:
        """Swap in an order in which `current` always means a whole model."""
        current = self.path_of("current")
        if current is None:
            self._link("current", name)
        elif self.path_of("previous") == self.folder / name:
            self._link("current", name)
            self._link("previous", current.name)
        else:
            self._link("previous", current.name)
            self._link("current", name)

    def _link(self, link: Link, name: str) -> None:
        fresh = self.folder / f"{_NEW_LINK}{secrets.token_hex(4)}"
        fresh.symlink_to(name)
        fresh.replace(self.folder / link)
        _sync(self.folder)

    def _clear(self) -> None:
        """Remove what no link means; call it while locked."""
        kept = {self.path_of("current"), self.path_of("previous")}
        for path in self.folder.iterdir():
            if path.is_symlink():
                if path.name.startswith(_NEW_LINK):
                    path.unlink()
            elif path.is_dir() and path not in kept:
                shutil.rmtree(path, ignore_errors=True)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Let one process change the folder at a time; one that dies gives its lock back."""
        try:
            _share(self.folder)
            lock = (self.folder / "lock").open("wb")
        except OSError as error:
            raise ConfigError(
                f"{self.folder} cannot hold models ({error.strerror}); name a folder that this "
                "user may write to in model.store or --store"
            ) from None
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._clear()
            yield


def store_of(model: ModelConfig, environ: Mapping[str, str]) -> Store | None:
    """Give the folder of installed models; None where no key is trusted, so none can be there."""
    if model.trusted_keys is None:
        return None
    return Store(model.store or default_store(environ), model.trusted_keys)


def default_store(environ: Mapping[str, str]) -> Path:
    """Where models are kept: in systemd's StateDirectory, else with the user's own data."""
    if given := given_folder(environ):
        return given / "models"
    home = environ.get("XDG_DATA_HOME") or f"{environ.get('HOME', '')}/.local/share"
    return Path(home) / "edge-pose" / "models"


def chosen_bundle(model: ModelConfig, environ: Mapping[str, str]) -> Bundle:
    """Open the bundle that the settings mean: one that is named, else the installed one, else ours.

    A tier names one of those in the package.

    What was installed is verified at every start, so that a key can be taken back.
    """
    if model.tier is not None:
        return open_bundle(packaged(model.tier))
    store = store_of(model, environ)
    if model.bundle is not None or store is None:
        return open_bundle(model.bundle)
    current = store.path_of("current")
    return open_bundle(None) if current is None else store.read(current).bundle


def _share(folder: Path) -> None:
    """Make the folder, unless it is there, and let everybody read it, whatever our umask."""
    mask = os.umask(0o777 & ~_FOLDER_MODE)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    finally:
        os.umask(mask)
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode | _FOLDER_MODE != mode:
        folder.chmod(mode | _FOLDER_MODE)


def _settle(folder: Path) -> None:
    """Have everything on the disk, readable by all, before a link may mean it."""
    for path in folder.iterdir():
        path.chmod(_FILE_MODE)
        _sync(path)
    folder.chmod(_FOLDER_MODE)
    _sync(folder)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
