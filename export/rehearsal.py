"""A network that learns while its layers are rounded as they will be.

In: a calibrated network and the layers that are to be in INT8.  Out: a torch module that computes
the TensorRT form's maps, rounding where that form has Q and DQ, with weights that can learn; and
the calibrated network with what they learned.

Only what makes maps of maps is computed (`export/rehearsal_steps.py`); the maps that anything else
reads are what the module returns.  Weights learn in units of their own size: equalisation makes
channels of one layer differ by hundreds, and an optimiser whose steps are all alike would wreck the
small ones.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import onnx
import torch
from jaxtyping import Float
from onnx import numpy_helper
from torch import Tensor, nn

from export.qdq_forms import constants, readers_of
from export.quantise import Calibrated, quantise
from export.rehearsal_steps import program_of

_BIAS_SHARE: Final = 0.1
"""Size of a bias, as a share of the largest value that its channel took."""
_NOTHING: Final = 1e-12


class Rehearsal(nn.Module):
    """The maps of a network with rounded layers."""

    def __init__(self, calibrated: Calibrated, layers: Sequence[str]) -> None:
        """Begin with the calibrated weights; biases of rounded layers begin corrected.

        Args:
            calibrated: network and ranges.
            layers: convolutions in INT8; none for the network in single precision.

        """
        super().__init__()
        form = quantise(calibrated, layers)
        whole, rounded = constants(calibrated.model), constants(form)
        self.moved = nn.ParameterDict()
        """How far each weight and bias has moved, in units of its size, by `_key` of its name."""
        self._numbers: dict[str, tuple[str, str]] = {}
        """Names of weight and bias, by layer."""
        convolutions = [node for node in calibrated.model.graph.node if node.op_type == "Conv"]
        for node in convolutions:
            weight, bias = self._numbers[node.name] = (node.input[1], node.input[2])
            largest = calibrated.channels[node.output[0]].largest
            begins_with = rounded if node.name in layers else whole
            self._add(weight, whole[weight], usual_size(whole[weight]))
            self._add(bias, begins_with[bias], _BIAS_SHARE * largest)
        self._image = form.graph.input[0].name
        self._program = program_of(
            form,
            self._numbers,
            self.number,
            rounded=frozenset(layers),
        )
        readers = readers_of(form)
        answers = {output.name for output in form.graph.output}
        computed = {name for step in self._program for name in step.covers}
        self.returned = tuple(
            step.writes
            for step in self._program
            if step.writes in answers
            or any(
                reader.output[0] not in computed and reader.op_type != "Shape"
                for reader in readers[step.writes]
            )
        )
        """Names of the maps that `forward` returns."""

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Compute the maps that are returned, [batch, channels, height, width], by name."""
        maps = {self._image: image.contiguous(memory_format=torch.channels_last)}
        for step in self._program:
            maps[step.writes] = step.compute(maps)
        return {name: maps[name] for name in self.returned}

    def number(self, name: str) -> Tensor:
        """Return a weight or bias as it is now, by its ONNX name."""
        key = _key(name)
        begin, size = self.get_buffer(f"begin {key}"), self.get_buffer(f"size {key}")
        return begin + size * self.moved[key]

    def fix_all_but(self, layers: Sequence[str]) -> None:
        """Let nothing learn but the weights and biases of these layers."""
        free = {_key(name) for layer in layers for name in self._numbers[layer]}
        for key, value in self.moved.items():
            value.requires_grad_(key in free)

    @torch.no_grad()
    def learned(self, calibrated: Calibrated, average: Mapping[str, Tensor]) -> Calibrated:
        """Return the calibrated network with weights and biases from a state of this module."""
        self.load_state_dict(average, strict=False)
        model = onnx.ModelProto()
        model.CopyFrom(calibrated.model)
        own = {name for names in self._numbers.values() for name in names}
        for array in model.graph.initializer:
            if array.name in own:
                values = self.number(array.name).cpu().contiguous().numpy()
                array.CopyFrom(numpy_helper.from_array(values, array.name))
        return replace(calibrated, model=model, is_learned=True)

    def _add(self, name: str, begin: np.ndarray, size: np.ndarray) -> None:
        key = _key(name)
        self.moved[key] = nn.Parameter(torch.zeros(begin.shape))
        for what, values in (("begin", begin), ("size", size)):
            held = torch.from_numpy(np.array(values, np.float32))
            self.register_buffer(f"{what} {key}", held, persistent=False)


def usual_size(
    filters: Float[np.ndarray, "written read height width"],
) -> Float[np.ndarray, "written read 1 1"]:
    """Say how large each weight is wont to be, by the channels that it writes and reads.

    Factors of equalisation stand in rows and columns, so the size goes with both, as the second
    moments that Adafactor keeps (Shazeer and Stern 2018, arXiv:1804.04235, section 3).
    """
    squares = np.square(filters.astype(np.float64)) + _NOTHING
    rows = squares.mean(axis=(1, 2, 3), keepdims=True)
    columns = squares.mean(axis=(0, 2, 3), keepdims=True)
    return np.sqrt(rows * columns / squares.mean())


def _key(name: str) -> str:
    """Return a name that torch allows for a parameter."""
    return name.replace(".", "/")
