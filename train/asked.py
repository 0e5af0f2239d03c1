"""What a finished network said about many crops, kept beside the truth: small, and read many times.

In: a stream of batches whose pictures became the network's answers, and a folder.  Out: `Answers`,
as arrays; a folder that holds some of them already is filled up, not begun again.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor, nn
from tqdm import tqdm

from train.distributed import device
from train.disturb import disturbed
from train.ensemble import Ensemble
from train.pool import arrived
from train.pose_augment import Augmentation
from train.stream import Batch, seed_of
from train.student import PoseNet

VIEWS: Final = 2
"""How often an accelerator disturbs a crop that was cut once."""
_BATCHES: Final = 8 * VIEWS
"""A file holds so many."""
_PLACE, _SCORE = slice(0, 2), 2
_METRES: Final = slice(3, 6)


class Asked(nn.Module):
    """A network whose whole answer about joints is one array, [batch, joints, 6]."""

    def __init__(self, network: PoseNet | Ensemble) -> None:
        """Ask a network that has no lifter yet."""
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> list[Tensor]:
        """Join places, logits of scores and metres."""
        answer = self.network(image)
        scores = answer["score_logits"][..., None]
        return [torch.cat([answer["joints_px"], scores, answer["joints_m"]], dim=-1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """Of many crops, one a row; truths in crop pixels and in metres in the axes of its ray."""

    joints_px: Float32[np.ndarray, "crops joints 2"]
    score_logits: Float32[np.ndarray, "crops joints"]
    joints_m: Float32[np.ndarray, "crops joints 3"]
    true_px: Float32[np.ndarray, "crops joints 2"]
    true_m: Float32[np.ndarray, "crops joints 3"]

    def __len__(self) -> int:
        """Count the crops."""
        return len(self.joints_px)

    def rows(self, chosen: np.ndarray) -> dict[str, Tensor]:
        """Return some rows as a batch."""
        return {
            field.name: torch.from_numpy(getattr(self, field.name)[chosen])
            for field in fields(self)
        }


@torch.no_grad()
def asked_about(
    blocks: Iterable[Batch],
    network: PoseNet | Ensemble,
    augmentation: Augmentation,
    *,
    seed: int,
    first: int,
) -> Iterator[Batch]:
    """Ask a network on an accelerator about wide crops, each disturbed `VIEWS` times over.

    Args:
        blocks: made by `train.pool.cut_wide`, in bytes.
        network: without a lifter.
        augmentation: how far crops are disturbed.
        seed: of how they are disturbed.
        first: number of the first block.

    """
    asked = Asked(network).eval()
    for number, block in enumerate(blocks, first):
        dice = torch.Generator(device()).manual_seed(seed_of(seed, number))
        wide = arrived(block)
        for _ in range(VIEWS):
            batch = disturbed(wide, augmentation, dice)
            (said,) = asked(batch["input"])
            yield {**batch, "input": said}


def answers_to(after: Callable[[int], Iterable[Batch]], batches: int, folder: Path) -> Answers:
    """Collect the answers to the first batches of a stream, as many as fill whole files.

    Args:
        after: gives the stream that follows after so many batches; `input` holds what `Asked` says.
        batches: how many to collect at least.
        folder: where they are kept.

    """
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{first:06d}.npz" for first in range(0, batches, _BATCHES)]
    done = next((n for n, file in enumerate(files) if not file.exists()), len(files))
    if done < len(files):
        stream = iter(after(done * _BATCHES))
        asking = tqdm(files[done:], initial=done, total=len(files), desc="asking", unit="file")
        for file in asking:
            _keep(_joined([next(stream) for _ in range(_BATCHES)]), file)
    parts = [np.load(file) for file in files]
    return Answers(
        **{
            field.name: np.concatenate([part[field.name] for part in parts])
            for field in fields(Answers)
        }
    )


def _joined(batches: list[Batch]) -> dict[str, np.ndarray]:
    said, true_px, true_m = (
        torch.cat([batch[name] for batch in batches]).cpu().numpy()
        for name in ("input", "joints_px", "joints_m")
    )
    return {
        "joints_px": said[..., _PLACE],
        "score_logits": said[..., _SCORE],
        "joints_m": said[..., _METRES],
        "true_px": true_px,
        "true_m": true_m,
    }


def _keep(arrays: dict[str, np.ndarray], path: Path) -> None:
    """Write a file whole or not at all."""
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
    part.replace(path)
