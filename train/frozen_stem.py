"""The part of a network that is not trained, run by ONNX Runtime.

On a CPU, ONNX Runtime goes through a stem at high resolution several times faster than torch does.
In: torch modules and their input size.  Out: a file, and from it a callable on arrays, for where
batches are made, or a module that stands in the place of the stem and keeps its weights.
"""

import hashlib
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn

from edge_pose.errors import ConfigError


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
    return OnnxStem(stem, path)


class StandIn(nn.Module):
    """Answers in the place of a frozen stem and keeps its weights, so that a run has them too.

    Nothing of it can be trained or replaced, and copies of a network share it.
    """

    def __init__(self, stem: nn.Module, answer: Callable[[Tensor], list[Tensor]]) -> None:
        """Take over the weights of `stem` under their names."""
        super().__init__()
        for name, part in stem.named_children():
            self.add_module(name, part)
        for name, value in stem.named_parameters(recurse=False):
            self.register_parameter(name, value)
        self._answer = answer
        self.register_load_state_dict_pre_hook(_refuse_another_stem)  # type: ignore[no-untyped-call]

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return what the stem says of pictures [batch, 3, S, S]."""
        return self._answer(image)

    def __deepcopy__(self, memo: dict[int, object]) -> "StandIn":
        """Share what no training can change."""
        return self


class OnnxStem(StandIn):
    """A stem on disk in the place of a torch module, [map at stride 32] from pictures."""

    def __init__(self, stem: nn.Module, path: Path) -> None:
        """Open the file that was made of `stem`."""
        run = FrozenStem(path)()
        super().__init__(stem, lambda image: [torch.from_numpy(run(image.detach().numpy()))])


def _refuse_another_stem(
    module: nn.Module, weights: Mapping[str, Tensor], prefix: str, *_rest: object
) -> None:
    """Refuse weights behind which another stem would answer than they were trained with."""
    for name, ours in module.state_dict().items():
        theirs = weights.get(prefix + name)
        if theirs is not None and not torch.equal(theirs.to(ours.device), ours):
            raise ConfigError(
                f"the weights to go on with were trained behind another stem ({prefix + name} "
                "differs) than the network here has, which began elsewhere; begin where they "
                "began, or start anew in another --out folder"
            )
