"""`python -m export lift`: put a lifter that was trained anew behind every form of a pose network.

In: a bundle, and a run of `train lift` that began with it.  Out, in one folder: the bundle's pose
network in each of its forms with the new lifter, and `golden.npz` with the bundle's own pictures,
from which `python -m export pack` makes the next bundle.  What is seen in pictures stays as it was
quantised and measured; the lifter reads joints, not pictures, and is exchanged by name.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
import onnx
import torch
from jaxtyping import Float32
from onnx import numpy_helper

from edge_pose.bundle import GOLDEN, Bundle, form_file, open_bundle
from edge_pose.errors import BundleError, ConfigError
from export.graph import in_steps
from export.pack import FORMS
from train.begin import weights_of
from train.shipped import HALF, STEP, STEPS

_LIFTER: Final = "lifter."
_ROUNDED: Final = 2e-3
"""Of a weight: more than halves take from it."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--bundle", type=Path, help="bundle folder; the one that ships, if left out"
    )
    parser.add_argument(
        "--lifted", type=Path, required=True, help="run folder of train lift --begin (that bundle)"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")


def main(arguments: argparse.Namespace) -> None:
    """Exchange and write."""
    bundle = open_bundle(arguments.bundle)
    weights = weights_of(arguments.lifted)
    _check_same_trunk(weights, bundle, arguments.lifted)
    lifter = {
        name.removeprefix(_LIFTER): value.numpy(force=True)
        for name, value in weights.items()
        if name.startswith(_LIFTER)
    }
    if not lifter:
        raise ConfigError(f"{arguments.lifted} has no lifter; name a run of `train lift`")
    pose = bundle.path_of("pose")
    files = [pose.name, *(form_file("pose", form) for form in FORMS)]
    arguments.out.mkdir(parents=True, exist_ok=True)
    for file in files:
        if (bundle.folder / file).exists():
            model = onnx.load(bundle.folder / file)
            exchange_lifter(model, lifter, where=str(bundle.folder / file))
            onnx.save(model, arguments.out / file)
    with np.load(bundle.folder / GOLDEN) as golden:
        pictures = {label: golden[f"{label}.images"] for label in ("pose", "detector")}
    np.savez_compressed(arguments.out / "golden.npz", allow_pickle=False, **pictures)


def exchange_lifter(
    model: onnx.ModelProto, lifter: Mapping[str, Float32[np.ndarray, "..."]], *, where: str
) -> None:
    """Give the graph's lifter other weights, stored as its own are: whole, in halves or as bytes.

    Args:
        model: a graph with a lifter, changed in place.
        lifter: every parameter of a lifter of the same shape, by its name of training.
        where: the file, for whoever reads an error.

    Raises:
        BundleError: the graph's lifter has other parameters than these.

    """
    arrays = {array.name: array for array in model.graph.initializer if _LIFTER in array.name}
    for name, values in lifter.items():
        stored = [array for array in arrays if _parameter(array) == name]
        if not stored:
            raise BundleError(
                f"{where} has no lifter with an array {name}; a lifter can be exchanged only for "
                "one of the same shape"
            )
        steps, step = in_steps(values)
        ways = {HALF: values.astype(np.float16), STEPS: steps, STEP: step, "": values}
        for array in stored:
            suffix = next(end for end in ways if array.endswith(end))
            _overwrite(arrays.pop(array), ways[suffix], where)
    if arrays:
        raise BundleError(f"{where} has arrays that no lifter has: {', '.join(sorted(arrays))}")


def _parameter(array: str) -> str:
    """Return what training calls the parameter that an array stores, all or a part of it."""
    name = array.rsplit(_LIFTER, 1)[-1]
    for end in (HALF, STEPS, STEP):
        name = name.removesuffix(end)
    return name


def _overwrite(array: onnx.TensorProto, values: np.ndarray, where: str) -> None:
    if list(array.dims) != list(values.shape):
        raise BundleError(
            f"{where} stores {array.name} of shape {list(array.dims)}, the new lifter has "
            f"{list(values.shape)}; a lifter can be exchanged only for one of the same shape"
        )
    kept = numpy_helper.to_array(array).dtype
    array.CopyFrom(numpy_helper.from_array(values.astype(kept), array.name))


def _check_same_trunk(weights: Mapping[str, torch.Tensor], bundle: Bundle, run: Path) -> None:
    """Refuse a lifter that was trained for what another network says."""
    for name, value in weights_of(bundle.path_of("pose")).items():
        if name.startswith(_LIFTER):
            continue
        theirs = weights.get(name)
        if theirs is None or not torch.allclose(
            theirs.cpu(), value.cpu(), rtol=_ROUNDED, atol=_ROUNDED
        ):
            raise ConfigError(
                f"{run} lifts what another network says than {bundle.folder}: they differ in "
                f"{name}; train the lifter with --begin {bundle.folder}"
            )
