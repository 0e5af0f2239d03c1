"""The third stage's objective: from the adapted teacher into the student that ships.

In: batches of two domains as in `train.two_domains`: rendered people with their truth, and target
pictures, of which only the pixels are used.  Out: named terms and their weighted sum.

The student learns the truth where there is one, and on the target what the teacher says of each
picture and its mirror image, 2D, 3D and scores; a joint of which the teacher is unsure teaches
nothing.  It also learns relations: which places of the picture the teacher's features find alike
(Tung and Mori 2019, arXiv:1907.09682, there between pictures; Dong et al. 2023, TinyMIM,
arXiv:2301.01296, on why relations suit small students).  Relations need no layer between features
of different widths, so nothing has to be thrown away before shipping.
"""

import copy
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from train.agreement import AGREEMENT_WEIGHTS, agreement_terms, both_ways
from train.attention import cosines
from train.fit import Options, Schedule, fit
from train.look import Convolutional, tokens_and_answer
from train.pose_loss import WEIGHTS, Terms, pose_terms, total
from train.two_domains import TARGET

RELATIONS_WEIGHT: Final = 1.0
_PLAIN: Final = Options()

DISTILLATION_WEIGHTS: Final[Mapping[str, float]] = MappingProxyType(
    {
        **WEIGHTS,
        **{f"teacher_{name}": weight for name, weight in AGREEMENT_WEIGHTS.items()},
        "relations": RELATIONS_WEIGHT,
    }
)


class Distillation:
    """The terms by which a convolutional student follows an adapted network."""

    def __init__(self, teacher: nn.Module) -> None:
        """Freeze a copy of the teacher."""
        self._teacher = copy.deepcopy(teacher).requires_grad_(requires_grad=False).eval()

    def terms(self, student: nn.Module, batch: Mapping[str, Tensor]) -> Terms:
        """Return the named terms of a batch of two domains."""
        assert isinstance(student, Convolutional)
        picture = batch[TARGET + "input"]
        told, tokens = self._tell(picture)
        maps = student.maps(picture)
        answer = student.answer(maps[-1])
        agreed = agreement_terms(answer, told)
        return {
            **pose_terms(student(batch["input"]), batch),
            **{f"teacher_{name}": term for name, term in agreed.items()},
            "relations": torch.stack([relation_gap(found, tokens) for found in maps]).mean(),
        }

    @torch.no_grad()
    def _tell(self, picture: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Return the answer averaged over the mirror image, and the tokens of the picture."""
        tokens, plain = tokens_and_answer(self._teacher, picture)
        return both_ways(plain, self._teacher(picture.flip(-1))), tokens


def distil(
    student: nn.Module,
    teacher: nn.Module,
    batches: Callable[[int], Iterable[Mapping[str, Tensor]]],
    schedule: Schedule,
    folder: Path,
    *,
    share_of_rate: Callable[[str], float] = lambda _name: 1.0,
    options: Options = _PLAIN,
) -> dict[str, Tensor]:
    """Teach what of the student requires gradients; return its averaged weights.

    Arguments are those of `train.fit.fit`, with batches of two domains.
    """
    return fit(
        student,
        batches,
        Distillation(teacher).terms,
        distillation_total,
        schedule,
        folder,
        share_of_rate=share_of_rate,
        options=options,
    )


def distillation_total(terms: Mapping[str, Tensor]) -> Tensor:
    """Sum the terms by their weights."""
    return total(terms, DISTILLATION_WEIGHTS)


def relation_gap(features: Tensor, tokens: Tensor) -> Tensor:
    """Mean squared difference of the cosines between places, the diagonal left out.

    Args:
        features: the student's map [batch, channels, side, side].
        tokens: the teacher's [batch, n, width], a square grid in reading order; averaged down, or
            up, to the student's places.

    """
    side = features.shape[-1]
    grid = round(tokens.shape[1] ** 0.5)
    theirs = functional.adaptive_avg_pool2d(
        tokens.float().mT.reshape(len(tokens), -1, grid, grid), side
    )
    places = side * side
    apart = ~torch.eye(places, dtype=torch.bool, device=features.device)
    return (cosines(features) - cosines(theirs))[:, apart].square().mean()
