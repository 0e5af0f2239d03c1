"""Weights back out of a network that was packed: training goes on from what ships.

In: `pose.onnx` or `detector.onnx` of a bundle, whose arrays are named as the workshop's network
names its parameters.  Out: a state dict, in single precision of what was stored in half of it or in
bytes.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor

from edge_pose.errors import BundleError

START: Final = "start"
"""What a file's metadata call the published network that its own was trained from."""
_WRAPPERS: Final = ("network.student.", "network.")
"""What the names of the student's parameters begin with: in an ensemble, and alone."""
_BESIDE: Final = "network.beside."
"""And those of a network that is asked beside it, as it was published."""
HALF: Final = ".half"
STEPS: Final = ".steps"
STEP: Final = ".step"


def shipped_weights(path: Path) -> dict[str, Tensor]:
    """Return the parameters by name; a BundleError where the file holds none."""
    found = {}
    for array in onnx.load(path).graph.initializer:
        name = array.name.removesuffix(HALF)
        wrapper = next((begin for begin in _WRAPPERS if name.startswith(begin)), None)
        if wrapper is not None and not name.startswith(_BESIDE):
            values = numpy_helper.to_array(array).astype(np.float32)
            found[name.removeprefix(wrapper)] = torch.from_numpy(values.copy())
    if not found:
        raise BundleError(
            f"{path} holds no parameters under their names of training; "
            "it was not written by `python -m export graph`"
        )
    return _whole(found)


def shipped_start(path: Path) -> str | None:
    """Return what the network was trained from, where the file says so."""
    said = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    return said.get(START)


def _whole(stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Undo bytes: filters stored as whole steps [out, in, kh, kw], each channel's step beside."""
    weights = {name: value for name, value in stored.items() if not name.endswith((STEPS, STEP))}
    for name, steps in stored.items():
        if name.endswith(STEPS):
            filters = name.removesuffix(STEPS)
            weights[filters] = steps * stored[filters + STEP]
    return weights
