"""How far a network is off in a domain, person by person, and the rows a report makes of it.

In: a pose network as the workshop trains it (a transformer or the student) and people.  Out: errors
[people, joints] and rows of `train.report_results`.

Crops are cut about the body's true place, as in training, so that networks are compared and not the
detector; `python -m train evaluate` looks as the appliance does.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from jaxtyping import Float
from torch import nn

from edge_pose.region import region_of_body
from train.domains import Domain
from train.forgetting import DomainError
from train.metrics import aligned_errors_mm, mean_error, pixel_errors_px, position_errors_mm
from train.pose_augment import TrainingCrop, cut_crop
from train.pose_data import collate
from train.report_results import Row
from train.report_rows import measured
from train.student import INPUT_SIZE_PX

POSITION: Final = "MPJPE mm"
ALIGNED: Final = "PA-MPJPE mm"
FLAT: Final = "2D error, % of crop"
_LIKELY: Final = 0.3
"""A joint's label counts from this weight on, as in `train.evaluate`."""
_AT_ONCE: Final = 16

Errors = Mapping[str, Float[np.ndarray, "people joints"]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Who:
    """Which network a row is about."""

    method: str
    seed: int

    @property
    def name(self) -> str:
        """Name the run."""
        return f"{self.method}, seed {self.seed}"


@torch.no_grad()
def errors_in(network: nn.Module, domain: Domain, *, most: int) -> Errors:
    """Measure a network on at most so many people, evenly spread, the same for every network."""
    device = next(network.parameters()).device
    was_training = network.training
    network.eval()
    crops = crops_of(domain, most=most)
    answers: list[dict[str, np.ndarray]] = []
    for first in range(0, len(crops), _AT_ONCE):
        batch = collate(crops[first : first + _AT_ONCE], None)
        answer = network(batch["input"].to(device))
        answers.append({name: answer[name].cpu().numpy() for name in ("joints_px", "joints_m")})
    network.train(was_training)
    return _compare(answers, crops, has_3d=domain.has_3d)


def crops_of(domain: Domain, *, most: int) -> list[TrainingCrop]:
    """Cut at most so many people, evenly spread, about their true places."""
    people = domain.people
    step = max(len(people) // most, 1)
    chosen = (people.person(number) for number in range(0, len(people), step)[:most])
    return [cut_crop(person, region_of_body(person.reach_px)) for person in chosen]


def _compare(
    answers: list[dict[str, np.ndarray]], crops: list[TrainingCrop], *, has_3d: bool
) -> Errors:
    said = {name: np.concatenate([answer[name] for answer in answers]) for name in answers[0]}
    judged = np.stack([crop.weight_2d for crop in crops]) >= _LIKELY
    true_px = np.stack([crop.joints_px for crop in crops])
    flat = pixel_errors_px(said["joints_px"], true_px, judged) / INPUT_SIZE_PX * 100
    if not has_3d:
        return {FLAT: flat}
    true_m, counted = np.stack([crop.joints_m for crop in crops]), np.ones_like(judged)
    return {
        POSITION: position_errors_mm(said["joints_m"], true_m, counted),
        ALIGNED: aligned_errors_mm(said["joints_m"], true_m, counted),
        FLAT: flat,
    }


def rows_of(who: Who, domain: str, found: Errors, *, seen_target_test: bool) -> tuple[Row, ...]:
    """Make a row of each metric."""
    return tuple(
        measured(
            name=who.name,
            method=who.method,
            seed=who.seed,
            domain=domain,
            metric=metric,
            errors=errors,
            groups=None,
            seen_target_test=seen_target_test,
        )
        for metric, errors in found.items()
    )


def reading_of(found: Errors) -> DomainError:
    """Return the means that the forgetting meter keeps."""
    return DomainError(
        crop_percent=mean_error(found[FLAT]),
        mm=mean_error(found[POSITION]) if POSITION in found else None,
    )
