"""A stand-in bundle that is signed, and keys that are trusted or not."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bundles import make_bundle
from edge_pose.bundle import MANIFEST, sha256_of
from export.sign import archive, keygen, sign


@dataclass(frozen=True)
class Release:
    """Somebody who releases bundles: a packed one, and a key pair whose public half is trusted."""

    folder: Path
    packed: Path
    key: Path
    trusted: Path

    def bundle(self, name: str, serial: int, *, key: Path | None = None) -> Path:
        """Make a signed bundle of that serial number."""
        copy = Path(shutil.copytree(self.packed, self.folder / name))
        sign(copy, key or self.key, serial=serial)
        return copy

    def archived(self, name: str, serial: int) -> Path:
        """Make one file of it."""
        path = self.folder / f"{name}.tar.gz"
        archive(self.bundle(name, serial), path)
        return path

    def edited(self, name: str, serial: int, change: Callable[[Path], object]) -> Path:
        """Sign a bundle whose files were changed and hashed anew, as a careless release would."""
        copy = Path(shutil.copytree(self.packed, self.folder / name))
        change(copy)
        table = json.loads((copy / MANIFEST).read_text(encoding="utf-8"))
        table["sha256"] = {file: sha256_of(copy / file) for file in table["sha256"]}
        (copy / MANIFEST).write_text(json.dumps(table), encoding="utf-8")
        sign(copy, self.key, serial=serial)
        return copy


def release(folder: Path) -> Release:
    """Pack a bundle and make a key."""
    packed = make_bundle(folder / "work")
    trusted = folder / "trusted"
    trusted.mkdir()
    key = folder / "release.pem"
    public, _ = keygen(key)
    public.rename(trusted / public.name)
    return Release(folder=folder, packed=packed, key=key, trusted=trusted)
