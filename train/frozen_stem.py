"""The part of a network that is not trained, run by ONNX Runtime.

On a CPU, ONNX Runtime goes through a stem at high resolution several times faster than torch does.
In: torch modules and their input size.  Out: a file, and from it a callable on arrays, for where
batches are made, or a module that stands in the place of the stem.
"""

import hashlib
import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn


class _Chain(nn.Module):
    """Graphs in a row, each of which goes on from the first answer of the one before."""

    def __init__(self, parts: Sequence[nn.Module]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)

    def forward(self, x: Tensor) -> Tensor:
        for part in self.parts:
            x = part(x)[0]
        return x


def export_stem(parts: Sequence[nn.Module], size_px: int, path: Path) -> None:
    """Write the frozen `parts`, one after another, as ONNX with a free batch size."""
    path.parent.mkdir(parents=True, exist_ok=True)
    example = (torch.rand(2, 3, size_px, size_px),)
    with warnings.catch_warnings():
        # The exporter of this torch calls what this torch calls deprecated.
        warnings.simplefilter("ignore", FutureWarning)
        torch.onnx.export(
            _Chain(parts).eval(),
            example,
            path,
            input_names=["image"],
            output_names=["features"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            dynamo=True,
            external_data=False,
            verbose=False,
        )


class FrozenStem:
    """A stem on disk; picklable, so that a data worker can be given it and open it there."""

    def __init__(self, path: Path, *, threads: int = 1) -> None:
        """Remember the file."""
        self._path = path
        self._threads = threads

    def __call__(self) -> Callable[[np.ndarray], np.ndarray]:
        """Open the file; call this in the process that will use it."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        session = onnxruntime.InferenceSession(
            self._path, options, providers=["CPUExecutionProvider"]
        )

        def run(image: np.ndarray) -> np.ndarray:
            (features,) = session.run(None, {"image": image})
            return np.asarray(features)

        return run


def stand_in(stem: nn.Module, size_px: int, cache: Path) -> nn.Module:
    """Return what runs a frozen stem fastest here: on a CPU a file in the cache, made once."""
    if next(stem.parameters()).is_cuda:
        return stem
    digest = hashlib.sha256()
    for value in stem.state_dict().values():
        digest.update(value.numpy().tobytes())
    path = cache / f"stem-{digest.hexdigest()[:16]}.onnx"
    if not path.exists():
        part = path.with_suffix(f".{os.getpid()}.part")
        export_stem([stem], size_px, part)
        part.replace(path)
    return OnnxStem(path)


class OnnxStem(nn.Module):
    """A stem on disk in the place of a torch module, [map at stride 32] from pictures.

    Nothing of it can be trained, and copies of a network share it.
    """

    def __init__(self, path: Path) -> None:
        """Open the file."""
        super().__init__()
        self._run = FrozenStem(path)()

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return the one map of pictures [batch, 3, S, S], as a graph that answers several."""
        return [torch.from_numpy(self._run(image.detach().numpy()))]

    def __deepcopy__(self, memo: dict[int, object]) -> "OnnxStem":
        """Share what no training can change."""
        return self
