"""A training run on disk: everything from which it goes on exactly, replaced whole or not at all.

In: a network, its averaged weights, its optimiser and the step.  Out: `last.safetensors`, whose
header holds the same text as the `last.json` beside it; and from them the run again.  A tensor is
named after its parameter: `weight.`, `average.`, and AdamW's `first.`, `second.` moment and
`updates.`; `buffer.` for what a network keeps without training it.  A parameter that is not trained
is its own `average.`, so that a run is the whole network wherever that began.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from edge_pose.errors import ConfigError, EdgePoseError

FORMAT: Final = 2
"""Format 1 had neither this number, a seed, buffers nor updates; it is still read."""
TENSORS: Final = "last.safetensors"
WORDS: Final = "last.json"

_STATE: Final = {"first": "exp_avg", "second": "exp_avg_sq", "updates": "step"}


class CheckpointNotWritten(EdgePoseError):
    """The disk took no checkpoint; make room and start the same command again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """What was read: the step to go on with, what was said about the run, and all tensors."""

    step: int
    words: Mapping[str, Any]
    tensors: Mapping[str, Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """The parts of a run that change with every step."""

    trained: Mapping[str, nn.Parameter]
    average: Mapping[str, Tensor]
    """Of every parameter; of one that is not trained, itself."""
    buffers: Mapping[str, Tensor]
    optimiser: torch.optim.Optimizer

    def tensors(self) -> dict[str, Tensor]:
        """Name everything that a run needs to go on."""
        named = {f"buffer.{name}": value for name, value in self.buffers.items()}
        named |= {f"average.{name}": value for name, value in self.average.items()}
        for name, value in self.trained.items():
            named[f"weight.{name}"] = value.detach()
            # A parameter that no loss has reached yet has no moments, and must have none again.
            state = self.optimiser.state.get(value, {})
            named |= {f"{ours}.{name}": state[key] for ours, key in _STATE.items() if state}
        return {name: value.contiguous() for name, value in named.items()}

    def restore(self, saved: Checkpoint, folder: Path) -> None:
        """Take over what was saved.

        Raises:
            ConfigError: the run in `folder` trained other parameters, or beside other ones.

        """
        theirs = {name for name in saved.tensors if name.startswith("weight.")}
        ours = {f"weight.{name}" for name in self.trained}
        if different := sorted(theirs ^ ours):
            raise ConfigError(
                f"the run in {folder} trains other parts of the network: {different[0]} is only "
                f"{'there' if different[0] in theirs else 'in this one'}; choose a new folder"
            )
        self._require_same_rest(saved, folder)
        with torch.no_grad():
            for name, value in self.trained.items():
                value.copy_(saved.tensors[f"weight.{name}"])
                self.average[name].copy_(saved.tensors[f"average.{name}"])
                if f"first.{name}" in saved.tensors:
                    self.optimiser.state[value] = self._moments(name, value, saved)
            for name, buffer in self.buffers.items():
                buffer.copy_(saved.tensors.get(f"buffer.{name}", buffer))

    def _require_same_rest(self, saved: Checkpoint, folder: Path) -> None:
        """Refuse to train on beside parameters that are not those which the run began beside."""
        for name in self.average.keys() - self.trained.keys():
            ours, theirs = self.average[name], saved.tensors.get(f"average.{name}")
            if theirs is None:
                raise ConfigError(
                    f"the run in {folder} lacks {name}, a part of the network that it does not "
                    "train and that an older version left out; delete that folder and start the "
                    "same command again"
                )
            if not torch.equal(theirs.to(ours.device), ours):
                raise ConfigError(
                    f"the run in {folder} began with another {name}, which it does not train; "
                    "begin with the network that it began with, or choose a new folder"
                )

    def _moments(self, name: str, value: Tensor, saved: Checkpoint) -> dict[str, Tensor]:
        updates = saved.tensors.get(f"updates.{name}", torch.tensor(float(saved.step)))
        if self.optimiser.defaults["fused"]:  # on a GPU; it counts where it computes
            updates = updates.to(value.device)
        return {
            "exp_avg": saved.tensors[f"first.{name}"].to(value.device),
            "exp_avg_sq": saved.tensors[f"second.{name}"].to(value.device),
            "step": updates,
        }


def write(folder: Path, tensors: Mapping[str, Tensor], words: Mapping[str, Any]) -> None:
    """Replace the checkpoint of `folder`; until the new one is on the disk, the old one stands.

    Raises:
        CheckpointNotWritten: there is no room, or no right to write.

    """
    text = json.dumps({"format": FORMAT, **words}, indent=1)
    part = folder / "last.part"
    try:
        save_file(dict(tensors), part, metadata={"run": text})
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(folder / TENSORS)
        part.write_text(text)
        part.replace(folder / WORDS)
    except (OSError, SafetensorError) as error:
        part.unlink(missing_ok=True)
        raise CheckpointNotWritten(
            f"{folder} took no checkpoint at step {words['step']} ({error}); the one before it is "
            "whole: make room and start the same command again"
        ) from None


def read(folder: Path) -> Checkpoint | None:
    """Read the checkpoint of `folder`; None where there is none yet.

    Raises:
        ConfigError: it is damaged, or a newer version of this program wrote it.

    """
    path = folder / TENSORS
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
        tensors = load_file(path)
    except SafetensorError as error:
        raise ConfigError(
            f"{path} cannot be read ({error}); delete it to begin the run anew"
        ) from None
    words = json.loads(header["run"]) if "run" in header else _first_format(folder, header)
    if words["format"] > FORMAT:
        raise ConfigError(
            f"{path} has format {words['format']}, this program knows up to {FORMAT}; go on with "
            "the program that wrote it, or choose a new folder"
        )
    return Checkpoint(step=int(words["step"]), words=words, tensors=tensors)


def averaged(folder: Path) -> dict[str, Tensor]:
    """Return the averaged weights of the run in `folder`.

    Raises:
        ConfigError: no run has been saved there.

    """
    saved = read(folder)
    if saved is None:
        raise ConfigError(
            f"{folder} holds no trained network: there is no {TENSORS}; name the --out folder of a "
            "training command that has saved at least once"
        )
    return {
        name.removeprefix("average."): value
        for name, value in saved.tensors.items()
        if name.startswith("average.")
    }


def _first_format(folder: Path, header: Mapping[str, str]) -> dict[str, Any]:
    words = folder / WORDS
    said = json.loads(words.read_text()) if words.exists() else {}
    return {**said, "format": 1, "step": int(header["step"])}
