"""The bundle: the folder that goes from the workshop to the appliance, believed once hashed.

In: a folder, or nothing for the bundle inside the package.  Out: a `Bundle` whose manifest was read
strictly and whose files have the hashes that it states.
"""

import hashlib
import json
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Final

from edge_pose.config import Tier
from edge_pose.errors import BundleError
from edge_pose.manifest import Manifest, read_manifest

DEFAULT_TIER: Final[Tier] = "fast"

MANIFEST: Final = "manifest.json"
GOLDEN: Final = "golden.npz"
CARD: Final = "card.md"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A folder whose manifest and hashes hold."""

    folder: Path
    manifest: Manifest

    def path_of(self, label: str) -> Path:
        """Where a network's file lies: `detector` or `pose`."""
        return self.folder / self.manifest.networks.by_label()[label].file

    @property
    def golden_path(self) -> Path:
        """Pictures with the outputs that the networks must give for them."""
        return self.folder / GOLDEN


def packaged(tier: Tier = DEFAULT_TIER) -> Path:
    """Where a bundle that ships with the package lies."""
    return Path(str(files("edge_pose") / "models" / tier))


def open_bundle(path: Path | None = None) -> Bundle:
    """Read and check a bundle; without a path, the faster one that ships."""
    folder = packaged() if path is None else path
    manifest_path = folder / MANIFEST
    try:
        table = json.loads(manifest_path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BundleError(
            f"{manifest_path} cannot be read ({error.strerror}); "
            f"wanted the folder of a bundle with its {MANIFEST}"
        ) from error
    except (ValueError, RecursionError) as error:
        raise BundleError(
            f"{manifest_path} is not JSON ({error}); copy the bundle again"
        ) from error
    manifest = read_manifest(table, where=str(manifest_path))
    _check_files(folder, manifest)
    return Bundle(folder=folder, manifest=manifest)


def form_file(label: str, form: str) -> str:
    """Name the file of a network in another form, `fp16`, `int8` or `int8-cpu`."""
    return f"{label}.{form}.onnx"


def sha256_of(path: Path) -> str:
    """Hash a file without holding it in memory."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _check_files(folder: Path, manifest: Manifest) -> None:
    needed = {GOLDEN, CARD, *(spec.file for spec in manifest.networks.by_label().values())}
    if unhashed := needed - manifest.sha256.keys():
        raise BundleError(
            f"{folder / MANIFEST} states no sha256 for {', '.join(sorted(unhashed))}; "
            "pack the bundle again"
        )
    for name, expected in manifest.sha256.items():
        if Path(name).name != name:
            raise BundleError(
                f"{folder / MANIFEST} names {name!r}, wanted a file inside the bundle's folder"
            )
        try:
            found = sha256_of(folder / name)
        except OSError as error:
            raise BundleError(
                f"{folder / name} cannot be read ({error.strerror}); copy the bundle again"
            ) from error
        if found != expected:
            raise BundleError(
                f"{folder / name} has sha256 {found[:12]}, the manifest says {expected[:12]}; "
                "copy the bundle again"
            )
