"""How far a network is off in a domain, person by person, and the rows a report makes of it.

In: a pose network as the workshop trains it (a transformer or the student) and people.  Out: errors
[people, joints] and rows of `train.report_results`.

Crops are cut about the body's true place, as in training, so that networks are compared and not the
detector; `python -m train evaluate` looks as the appliance does.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from jaxtyping import Float
from torch import nn

from edge_pose.errors import ConfigError
from edge_pose.region import region_of_body
from train.domains import Domain
from train.forgetting import DomainError
from train.metrics import (
    LIKELY,
    aligned_errors_mm,
    mean_error,
    pixel_errors_px,
    position_errors_mm,
)
from train.pose_augment import TrainingCrop, cut_crop
from train.pose_data import Batch, People, collate
from train.report_results import Row
from train.report_rows import measured
from train.spread import spread
from train.stream import shown
from train.student import INPUT_SIZE_PX

POSITION: Final = "MPJPE mm"
ALIGNED: Final = "PA-MPJPE mm"
FLAT: Final = "2D error, % of crop"
_AT_ONCE: Final = 64

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


def errors_in(network: nn.Module, domain: Domain, *, most: int) -> Errors:
    """Measure a network on at most so many people, evenly spread, the same for every network."""
    return errors_of(network, batches_for(network, domain.people, most=most))


def batches_for(network: nn.Module, people: People, *, most: int) -> Iterator[Batch]:
    """Show a network at most so many people, evenly spread, where it is."""
    return batches_of(crops_of(people, most=most), next(network.parameters()).device)


def batches_of(crops: Sequence[TrainingCrop], where: torch.device) -> Iterator[Batch]:
    """Stack crops, a few at a time, where a network is."""
    for first in range(0, len(crops), _AT_ONCE):
        yield shown(collate(crops[first : first + _AT_ONCE], None), where)


def crops_of(people: People, *, most: int) -> list[TrainingCrop]:
    """Cut at most so many people, evenly spread, about their true places."""
    chosen = (people.person(number) for number in spread(len(people), most))
    return [cut_crop(person, region_of_body(person.reach_px)) for person in chosen]


@torch.no_grad()
def errors_of(network: nn.Module, batches: Iterable[Batch]) -> Errors:
    """Measure a network on batches; errors in space only where somebody has 3D truth.

    Restores the network's mode.
    """
    was_training = network.training
    network.eval()
    found: dict[str, list[np.ndarray]] = {POSITION: [], ALIGNED: [], FLAT: []}
    for batch in batches:
        answer = network(batch["input"])
        said_px, said_m = (answer[name].cpu().numpy() for name in ("joints_px", "joints_m"))
        true_px, true_m = (batch[name].cpu().numpy() for name in ("joints_px", "joints_m"))
        judged = (batch["weight_2d"] >= LIKELY).cpu().numpy()
        known = batch["has_3d"][:, None].expand(-1, judged.shape[1]).cpu().numpy()
        found[FLAT].append(pixel_errors_px(said_px, true_px, judged) / INPUT_SIZE_PX * 100)
        found[POSITION].append(position_errors_mm(said_m, true_m, known))
        found[ALIGNED].append(aligned_errors_mm(said_m, true_m, known))
    network.train(was_training)
    if not found[FLAT]:
        raise ConfigError(
            "a domain to measure forgetting on holds no people; name a folder that does"
        )
    errors = {metric: np.concatenate(parts) for metric, parts in found.items()}
    if np.isnan(errors[POSITION]).all():
        return {FLAT: errors[FLAT]}
    return errors


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
