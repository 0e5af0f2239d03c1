"""Networks, card, figures and golden pictures to a bundle; refuses what breaks the contract.

The golden outputs are computed here with ONNX Runtime, so a bundle that packs is a bundle that
runs.
"""

import json
import shutil
from collections.abc import Mapping
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import UInt8

from edge_pose import skeleton
from edge_pose.bundle import CARD, GOLDEN, MANIFEST, Bundle, form_file, open_bundle, sha256_of
from edge_pose.engines import Engine, Engines
from edge_pose.engines.onnx import OnnxEngine
from edge_pose.errors import BundleError
from edge_pose.golden import check_golden
from edge_pose.inference import infer
from edge_pose.manifest import (
    OUTPUTS,
    SCHEMA,
    CropSpec,
    InputSpec,
    NetworkSpec,
    NetworkSpecs,
    OutputSpec,
    SkeletonSpec,
    read_manifest,
)
from edge_pose.region import PADDING, REACH

FORMS: Final = ("fp16", "int8", "int8-cpu")
"""Other than single precision: for TensorRT the first two, for ONNX Runtime the last."""
_MEANINGS: Final = {
    "pose": {
        "joints_px": ("px", "joints in crop pixels, pixel centres at integers"),
        "joints_m": ("m", "joints relative to the pelvis in the axes of the crop's own ray"),
        "scores": ("probability", "joint lies within 5 % of the crop's side of joints_px"),
        "presence": ("probability", "the crop shows a person"),
        "reach_px": ("px", "middle of the hips, and above it how far the body reaches"),
    },
    "detector": {
        "boxes_px": ("px", "x0 y0 x1 y1 in network-input pixels"),
        "scores": ("probability", "the box holds a person"),
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSource:
    """A network as it came from training, and how its input is made from pixels."""

    path: Path
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    pad_value: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PackOrder:
    """Everything that goes into a bundle."""

    name: str
    version: str
    created: str
    networks: Mapping[str, NetworkSource]
    """`detector` and `pose`."""
    tolerance_px: Mapping[str, float]
    tolerance_mm: Mapping[str, float]
    card: str
    metrics: Mapping[str, object]
    provenance: Mapping[str, object]
    golden: Mapping[str, UInt8[np.ndarray, "pictures height width 3"]]
    """BGR pictures of each network's own size."""
    forms: Mapping[tuple[str, str], Path] = field(default_factory=dict)
    """Networks in other precisions, by network and form: `("pose", "fp16")`."""


def pack(order: PackOrder, folder: Path) -> Bundle:
    """Write the bundle and open it again as the appliance will."""
    folder.mkdir(parents=True, exist_ok=True)
    networks: dict[str, NetworkSpec] = {}
    golden: dict[str, np.ndarray] = {}
    for label, source in order.networks.items():
        networks[label], arrays = _examine(label, source, order.golden[label])
        golden |= arrays
        shutil.copyfile(source.path, folder / networks[label].file)
    np.savez_compressed(folder / GOLDEN, allow_pickle=False, **golden)
    forms: list[str] = []
    for (label, form), path in order.forms.items():
        _examine(label, replace(order.networks[label], path=path), order.golden[label])
        forms.append(form_file(label, form))
        shutil.copyfile(path, folder / forms[-1])
    (folder / CARD).write_text(order.card, encoding="utf-8")
    table = {
        "schema": SCHEMA,
        "name": order.name,
        "version": order.version,
        "created": order.created,
        "skeleton": asdict(
            SkeletonSpec(
                name=skeleton.NAME,
                joints=skeleton.JOINTS,
                parents=skeleton.PARENTS,
                mirror=skeleton.MIRROR,
            )
        ),
        "networks": _without_nothing(asdict(NetworkSpecs(**networks))),
        "crop": asdict(CropSpec(kind="body", padding=PADDING, reach=REACH)),
        "tolerance_px": dict(order.tolerance_px),
        "tolerance_mm": dict(order.tolerance_mm),
        "metrics": dict(order.metrics),
        "provenance": dict(order.provenance),
        "sha256": {
            name: sha256_of(folder / name)
            for name in (*(spec.file for spec in networks.values()), *forms, GOLDEN, CARD)
        },
    }
    text = json.dumps(table, indent=2) + "\n"
    read_manifest(json.loads(text), where=str(folder / MANIFEST))
    (folder / MANIFEST).write_text(text, encoding="utf-8")
    bundle = open_bundle(folder)
    for label, form in order.forms:
        _believe(bundle, label, form)
    return bundle


def _believe(bundle: Bundle, label: str, form: str) -> None:
    """Refuse a form that answers golden pictures otherwise than its tolerance allows."""
    with ExitStack() as stack:

        def opened(other: str) -> Engine:
            file = form_file(other, form) if other == label else bundle.path_of(other).name
            engine = OnnxEngine(bundle.folder / file)
            stack.callback(engine.close)
            return engine

        engines = Engines(detector=opened("detector"), pose=opened("pose"))
        check_golden(bundle, engines, precision=form.partition("-")[0])


def _examine(
    label: str, source: NetworkSource, pictures: UInt8[np.ndarray, "pictures height width 3"]
) -> tuple[NetworkSpec, dict[str, np.ndarray]]:
    """Check a network against the contract by its stated shapes and by running it."""
    with closing(OnnxEngine(source.path)) as engine:
        network = _describe(label, source, engine)
        wanted = (network.height_px, network.width_px)
        if len(pictures) == 0 or pictures.shape[1:3] != wanted:
            raise BundleError(
                f"golden pictures for {label} have shape {list(pictures.shape)}, "
                f"wanted at least one of {wanted[0]} by {wanted[1]} pixels"
            )
        rows = [infer(engine, network, [picture]) for picture in pictures]
    outputs = {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
    for name, values in outputs.items():
        if not np.isfinite(values).all():
            raise BundleError(
                f"{source.path} gives {name} that is not finite on the golden pictures; "
                "train it again"
            )
    golden = {f"{label}.{name}": outputs[name] for name in OUTPUTS[label]}
    return network, {f"{label}.images": pictures, **golden}


def _describe(label: str, source: NetworkSource, engine: OnnxEngine) -> NetworkSpec:
    if list(engine.inputs) != ["image"]:
        raise BundleError(
            f"{source.path} takes {sorted(engine.inputs)}, wanted one input named 'image'"
        )
    if engine.outputs.keys() != OUTPUTS[label].keys():
        raise BundleError(
            f"{source.path} gives {sorted(engine.outputs)}, wanted {sorted(OUTPUTS[label])}; "
            "export it again"
        )
    for name, wanted in OUTPUTS[label].items():
        _check_shape(engine.outputs[name], wanted, f"{source.path} gives {name}")
    batch, *rest = engine.inputs["image"]
    return NetworkSpec(
        file=f"{label}.onnx",
        input=InputSpec(
            name="image",
            shape=(batch if isinstance(batch, int) else "batch", *(size or "?" for size in rest)),
            dtype="float32",
            colour="RGB",
            mean=source.mean,
            std=source.std,
        ),
        outputs={
            name: OutputSpec(shape=OUTPUTS[label][name], unit=unit, meaning=meaning)
            for name, (unit, meaning) in _MEANINGS[label].items()
        },
        pad_value=source.pad_value,
    )


def _check_shape(
    found: tuple[int | str | None, ...], wanted: tuple[int | str, ...], what: str
) -> None:
    fits = len(found) == len(wanted) and all(
        isinstance(expected, str) or size == expected
        for size, expected in zip(found, wanted, strict=True)
    )
    if not fits:
        raise BundleError(f"{what} of shape {list(found)}, wanted {list(wanted)}; export it again")


def _without_nothing(table: dict[str, dict[str, object]]) -> dict[str, dict[str, object]]:
    return {
        label: {key: value for key, value in network.items() if value is not None}
        for label, network in table.items()
    }
