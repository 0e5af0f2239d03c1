"""A network whose layers are rounded learns to say what it said before they were.

In: a calibrated pose network, the layers that are to be in INT8, pictures of people.  Out: the same
network with weights that suit their rounding (quantisation-aware training by distillation: Mishra
and Marr 2018, arXiv:1711.05852; no label is used, so nothing but rounding is unlearned).
"""

from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor
from tqdm import trange

from edge_pose.errors import ConfigError
from edge_pose.inference import normalise
from edge_pose.manifest import InputSpec
from export.parity import Picture
from export.quantise import Calibrated
from export.rehearsal import Rehearsal
from train.fit import Options, Schedule, fit
from train.pose_loss import Terms, total
from train.student import decoded, sharper

BATCH: Final = 16
LEARNING_RATE: Final = 5e-6
"""In units of each weight's usual size; ten times as much throws answers about (docs/log.md)."""
_MM_PER_M: Final = 1000.0
WEIGHTS: Final[Mapping[str, float]] = {
    "mm": 1 / 2.0,
    "px": 1 / 0.5,
    "reach_px": 1 / 2.0,
    "score": 10.0,
    "presence": 10.0,
}
"""Of the mean distances to what single precision says: each counts one where it is tolerable."""
_ROOT: Final = 1e-6
"""Added under roots, so that a distance of nothing has a gradient."""
_LAYERS: Final = {"head": "network.head.", "reach": "network.reach."}


class Lesson:
    """Pictures, and what the network says of them in single precision."""

    def __init__(
        self, calibrated: Calibrated, pictures: Sequence[Picture], spec: InputSpec
    ) -> None:
        """Ask the network before it is rounded.

        Args:
            calibrated: network in single precision.
            pictures: BGR crops as an engine is fed.
            spec: how the network wants them normalised.

        """
        self._pictures = pictures
        self._spec = spec
        plain = Rehearsal(calibrated, ()).eval()
        self._names = Roles(calibrated, plain.returned)
        parts: list[dict[str, Tensor]] = []
        with torch.no_grad():
            for first in trange(0, len(pictures), BATCH, desc="asking", unit="batch"):
                image = self._image(range(first, min(first + BATCH, len(pictures))))
                parts.append(self._names.answer(plain(image)))
        self._said = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    def batches(self, first: int, seed: int) -> Iterator[dict[str, Tensor]]:
        """Give batches in an order that only the seed decides, from the one of that number on."""
        number = first
        while True:
            rng = np.random.default_rng([seed, number])
            chosen = rng.choice(len(self._pictures), BATCH, replace=False)
            said = {name: value[chosen] for name, value in self._said.items()}
            yield {"image": self._image(chosen), **said}
            number += 1

    def terms(self, network: Rehearsal, batch: Mapping[str, Tensor]) -> Terms:
        """Return mean distances between what is said now and what was said."""
        now = self._names.answer(network(batch["image"]))

        def distance(name: str) -> Tensor:
            gap = (now[name] - batch[name]).square().sum(-1)
            return (gap + _ROOT).sqrt().mean()

        def doubt(name: str) -> Tensor:
            return (now[name].sigmoid() - batch[name].sigmoid()).abs().mean()

        return {
            "mm": _MM_PER_M * distance("joints_m"),
            "px": distance("joints_px"),
            "reach_px": distance("reach_px"),
            "score": doubt("score_logits"),
            "presence": doubt("presence_logits"),
        }

    def _image(self, chosen: Sequence[int] | np.ndarray) -> Tensor:
        return torch.from_numpy(normalise([self._pictures[n] for n in chosen], self._spec))


class Roles:
    """Which of the maps that a pose network ends in is head, reach and heat."""

    def __init__(self, calibrated: Calibrated, ends: Sequence[str]) -> None:
        """Tell the maps at the ends by the names of the weights that made them."""
        made_by = {
            node.output[0]: node.input[1]
            for node in calibrated.model.graph.node
            if node.op_type == "Conv"
        }
        self._role: dict[str, str] = {}
        for end in ends:
            found = [
                role for role, begins in _LAYERS.items() if made_by.get(end, "").startswith(begins)
            ]
            self._role[found[0] if found else "heat"] = end
        if len(ends) != len(self._role) or set(self._role) != {*_LAYERS, "heat"}:
            raise ConfigError(
                f"this network ends in the maps {', '.join(ends)}, which are not head, reach and "
                "heat of a pose network; learning knows no other"
            )

    def answer(self, maps: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Name what the maps say, as `train.student.PoseNet` does."""
        head, reach, heat = (maps[self._role[role]] for role in ("head", "reach", "heat"))
        return sharper(decoded(head.flatten(1), reach.flatten(1)), heat)


def learn(
    calibrated: Calibrated,
    layers: Sequence[str],
    lesson: Lesson,
    folder: Path,
    *,
    steps: int,
    seed: int,
) -> Calibrated:
    """Teach the rounded network; a run found in the folder goes on.

    Args:
        calibrated: network in single precision, and ranges.
        layers: convolutions in INT8.
        lesson: what it is to say.
        folder: of the run.
        steps: of `BATCH` pictures.
        seed: of the order of pictures.

    """
    network = Rehearsal(calibrated, layers)
    network.fix_all_but(layers)
    average = fit(
        network,
        lambda first: lesson.batches(first, seed),
        lesson.terms,  # type: ignore[arg-type]
        lambda terms: total(terms, WEIGHTS),
        Schedule(
            steps=steps,
            learning_rate=LEARNING_RATE,
            warmup_steps=min(50, steps),
            average_decay=0.99,
        ),
        folder,
        options=Options(recipe={"layers": list(layers), "network": _fingerprint(calibrated)}),
    )
    return network.learned(calibrated, average)


def _fingerprint(calibrated: Calibrated) -> str:
    return sha256(calibrated.model.SerializeToString(deterministic=True)).hexdigest()
