"""`python -m export.sbom FILE`: what an installed appliance consists of, as CycloneDX 1.6 in JSON.

In: this package's requirements, as they are installed beside it, and the bundles that ship.  Out:
every distribution that `pip install edge-pose[opencv]` brings, with version, licence, package URL
and what it needs itself; every file of the bundles with its hash.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Final, get_args

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from edge_pose.bundle import Bundle, open_bundle, packaged
from edge_pose.config import Tier
from edge_pose.errors import ConfigError

ROOT: Final = "edge-pose"
EXTRA: Final = "opencv"
_LICENCES: Final = {
    "MIT License": "MIT",
    "Apache 2.0": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "3-Clause BSD License": "BSD-3-Clause",
    "License :: OSI Approved :: MIT License": "MIT",
    "License :: OSI Approved :: Apache Software License": "Apache-2.0",
    "License :: OSI Approved :: BSD License": "BSD-3-Clause",
}
"""How distributions that do not use SPDX expressions yet name their licence."""


def bill_of_materials(bundles: Sequence[Bundle]) -> Bom:
    """Describe the appliance, what it needs, and its models."""
    found = {name: _component(dist) for name, dist in installed().items()}
    models = [_model(bundle) for bundle in bundles]
    root = found[ROOT]
    bom = Bom()
    bom.metadata.component = root
    for name, component in found.items():
        if component is not root:
            bom.components.add(component)
        needed = [found[need] for need in needs(distribution(name), _extras(name))]
        bom.register_dependency(component, [*needed, *models] if component is root else needed)
    bom.components.update(models)
    return bom


def installed() -> dict[str, Distribution]:
    """Give the appliance and, transitively, everything that it needs here."""
    found: dict[str, Distribution] = {}
    waiting = [ROOT]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:
            raise ConfigError(
                f"{name} belongs to the appliance but is not installed beside this program; "
                "`scripts/install dev` installs it"
            ) from None
        waiting += needs(found[name], _extras(name))
    return found


def needs(dist: Distribution, extras: Sequence[str] = ()) -> Iterator[str]:
    """Name what a distribution requires on this machine."""
    for text in dist.requires or ():
        requirement = Requirement(text)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in (*extras, "")):
            yield canonicalize_name(requirement.name)


def licence(dist: Distribution) -> str | None:
    """Give the SPDX expression of a licence; None where the distribution does not tell it."""
    if expression := _field(dist, "License-Expression"):
        return expression
    lines = (_field(dist, "License") or "").strip().splitlines()
    named = [*lines[:1], *(dist.metadata.get_all("Classifier") or ())]
    return next((_LICENCES[name.strip()] for name in named if name.strip() in _LICENCES), None)


def _field(dist: Distribution, name: str) -> str | None:
    return next(iter(dist.metadata.get_all(name) or ()), None)


def _extras(name: str) -> tuple[str, ...]:
    return (EXTRA,) if name == ROOT else ()


def _component(dist: Distribution) -> Component:
    name = canonicalize_name(dist.metadata["Name"])
    expression = licence(dist)
    licences = [LicenseFactory().make_from_string(expression)] if expression else []
    return Component(
        type=ComponentType.APPLICATION if name == ROOT else ComponentType.LIBRARY,
        name=name,
        version=dist.version,
        bom_ref=f"{name}@{dist.version}",
        purl=PackageURL("pypi", name=name, version=dist.version),
        licenses=licences,
        description=_field(dist, "Summary"),
    )


def _model(bundle: Bundle) -> Component:
    manifest = bundle.manifest
    return Component(
        type=ComponentType.MACHINE_LEARNING_MODEL,
        name=manifest.name,
        version=manifest.version,
        bom_ref=f"{manifest.name}@{manifest.version}",
        licenses=[LicenseFactory().make_from_string("Apache-2.0")],
        components=[
            Component(
                type=ComponentType.FILE,
                name=name,
                bom_ref=f"{manifest.name}@{manifest.version}/{name}",
                hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest)],
            )
            for name, digest in sorted(manifest.sha256.items())
        ],
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the file."""
    parser = argparse.ArgumentParser(prog="python -m export.sbom", description=__doc__)
    parser.add_argument("out", type=Path, metavar="FILE", help="where to write it")
    out: Path = parser.parse_args(arguments).out
    bom = bill_of_materials([open_bundle(packaged(tier)) for tier in get_args(Tier)])
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(JsonV1Dot6(bom).output_as_string(indent=2) + "\n", encoding="utf-8")
    sys.stdout.write(f"{out}: {len(bom.components)} components of {ROOT}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
