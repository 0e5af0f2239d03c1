"""Weights back out of a network that was packed: training goes on from what ships.

In: `pose.onnx` of a bundle, whose arrays are named as the workshop's network
names its parameters.  Out: a state dict, in single precision of what was stored as half.
"""

from pathlib import Path
from typing import Final

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor

from edge_pose.errors import BundleError

_WRAPPER: Final = "network."
_HALF: Final = ".half"


def shipped_weights(path: Path) -> dict[str, Tensor]:
    """Return the parameters by name; a BundleError where the file holds none."""
    found = {}
    for array in onnx.load(path).graph.initializer:
        name = array.name.removesuffix(_HALF)
        if name.startswith(_WRAPPER):
            values = numpy_helper.to_array(array).astype(np.float32)
            found[name.removeprefix(_WRAPPER)] = torch.from_numpy(values.copy())
    if not found:
        raise BundleError(
            f"{path} holds no parameters under their names of training; "
            "it was not written by `python -m export graph`"
        )
    return found
