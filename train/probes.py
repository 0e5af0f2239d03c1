"""How much of a pose a frozen network knows: a linear probe, and a small head on what it says.

In: a frozen encoder (any function from pictures to features: the tokens of a transformer, the
feature map of a convolutional network, or vectors) and pictures with joints in metres.  Out: the
root-aligned error of joints read from the features, on people that the probe was not fitted to.

Features are averaged in a grid of 2 x 2 parts of the picture, so that rough places survive and
every network gives a vector.  The linear probe is a ridge regression in closed form; its strength
is chosen by leaving out one training person at a time, so that held-out people choose nothing.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32
from torch import Tensor, nn
from torch.nn import functional

from edge_pose.errors import ConfigError
from train.confidence import Interval, bootstrap_mean
from train.metrics import position_errors_mm

CELLS: Final = 2
STRENGTHS: Final = tuple(float(value) for value in np.logspace(-4, 4, 33))
"""Ridge strengths tried, in units of the mean squared singular value of the features."""
_SILENT: Final = 1e-6
"""Units whose deviation is below this share of the largest are left as they are."""

Encode = Callable[[Tensor], Tensor]
"""Pictures [b, 3, h, w] to tokens [b, n, width], a map [b, width, h, w] or vectors [b, width]."""

Rows = Float[np.ndarray, "people units"]
Joints = Float[np.ndarray, "people joints 3"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """Features of people whose joints are known."""

    features: Float32[np.ndarray, "people units"]
    joints_m: Float32[np.ndarray, "people joints 3"]
    """Relative to the pelvis."""

    def __len__(self) -> int:
        """Count the people."""
        return len(self.features)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ridge:
    """A linear map from features to joints."""

    weights: Float[np.ndarray, "units outputs"]
    bias: Float[np.ndarray, "outputs"]
    strength: float
    left_out_error: float
    """Mean squared error of each training row under the fit to all others."""

    def __call__(self, features: Rows) -> Float[np.ndarray, "people outputs"]:
        """Apply it."""
        return features @ self.weights + self.bias


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResult:
    """What a probe read from frozen features of people it was not fitted to."""

    mpjpe_mm: Interval
    """Root-aligned at mid-hip, all joints."""
    errors_mm: Float[np.ndarray, "people joints"]
    fitted_people: int
    held_out_people: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadRecipe:
    """The small head: one hidden layer, a fixed number of steps, no choice by held-out people."""

    hidden: int = 256
    steps: int = 1500
    batch: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    seed: int = 0


def known_people(encode: Encode, batches: Iterable[Mapping[str, Tensor]]) -> Known:
    """Look at every picture once and keep people with known joints.

    Args:
        encode: the frozen network; called without gradients.
        batches: with `input` [b, 3, h, w], `joints_m` [b, joints, 3] and `has_3d` [b].

    Raises:
        ConfigError: nobody in the batches has joints in 3D.

    """
    features, joints = [], []
    for batch in batches:
        kept = batch["has_3d"]
        if bool(kept.any()):
            with torch.no_grad():
                pooled = pool(encode(batch["input"][kept]))
            features.append(pooled.float().cpu().numpy())
            joints.append(batch["joints_m"][kept].float().cpu().numpy())
    if not features:
        raise ConfigError(
            "A pose probe needs joints in metres and found nobody with any; give rendered people"
        )
    return Known(features=np.concatenate(features), joints_m=np.concatenate(joints))


def pool(features: Tensor, cells: int = CELLS) -> Tensor:
    """Average features over `cells` x `cells` parts of the picture.

    Args:
        features: tokens [b, n, width] of a square grid or a map [b, width, h, w]; vectors
            [b, width] stay as they are.
        cells: parts along each side.

    Returns:
        [b, width * cells * cells].

    """
    if features.ndim == 2:
        return features
    return functional.adaptive_avg_pool2d(as_map(features), cells).flatten(1)


def as_map(features: Tensor) -> Tensor:
    """Lay tokens [b, n, width] out in their square grid, [b, width, h, w]; a map is one already.

    Raises:
        ConfigError: the tokens fill no square.

    """
    if features.ndim == 4:
        return features
    side = math.isqrt(features.shape[1])
    if side * side != features.shape[1]:
        raise ConfigError(
            f"{features.shape[1]} tokens a picture are no square grid; "
            "leave out tokens that have no place in the picture"
        )
    return features.transpose(1, 2).reshape(len(features), -1, side, side)


def linear_probe(fitted: Known, held_out: Known) -> ProbeResult:
    """Read joints from frozen features by ridge regression (see the module).

    Features of held-out people are brought to the range that was fitted: a unit that was next to
    silent there and is loud here would throw one person tens of metres, and the mean with them.
    """
    middle, scale = _standard(fitted.features)
    outputs = fitted.joints_m.reshape(len(fitted), -1).astype(np.float64)
    known = (fitted.features.astype(np.float64) - middle) / scale
    ridge = fit_ridge(known, outputs)
    asked = (held_out.features.astype(np.float64) - middle) / scale
    read = ridge(np.clip(asked, known.min(axis=0), known.max(axis=0)))
    return _judge(read.reshape(held_out.joints_m.shape), fitted, held_out)


def fit_ridge(
    features: Rows,
    outputs: Float[np.ndarray, "people outputs"],
    strengths: Iterable[float] = STRENGTHS,
) -> Ridge:
    """Fit outputs = features @ weights + bias by least squares with a penalty on the weights.

    The error of row i when it is left out has the closed form e_i / (1 - h_ii), with h the hat
    matrix (Allen 1974, doi:10.1080/00401706.1974.10489157); the strength with the smallest mean
    of its square is taken.  The bias is not penalised.

    Args:
        features: [people, units].
        outputs: [people, outputs].
        strengths: to choose from, in units of the mean squared singular value.

    """
    middle, aim = features.mean(axis=0), outputs.mean(axis=0)
    left, values, right = np.linalg.svd(features - middle, full_matrices=False)
    squares = values**2
    unit = float(squares.mean()) or 1.0
    turned = left.T @ (outputs - aim)
    best: Ridge | None = None
    for strength in strengths:
        kept = squares / (squares + strength * unit)
        hat = (left**2) @ kept + 1 / len(features)
        residual = outputs - aim - (left * kept) @ turned
        error = float(((residual / np.maximum(1 - hat, 1e-9)[:, None]) ** 2).mean())
        if best is None or error < best.left_out_error:
            shrunk = values / (squares + strength * unit)
            weights = right.T @ (shrunk[:, None] * turned)
            best = Ridge(
                weights=weights,
                bias=aim - middle @ weights,
                strength=strength * unit,
                left_out_error=error,
            )
    if best is None:
        raise ConfigError("A ridge regression needs at least one strength to try")
    return best


def head_probe(fitted: Known, held_out: Known, recipe: HeadRecipe | None = None) -> ProbeResult:
    """Train a small head on frozen features for a fixed number of steps and read joints with it.

    It wants thousands of people: of a few hundred it learns single ones by heart, which the linear
    probe does not.
    """
    recipe = HeadRecipe() if recipe is None else recipe
    middle, scale = _standard(fitted.features)
    random = torch.Generator().manual_seed(recipe.seed)
    x = torch.from_numpy(((fitted.features - middle) / scale).astype(np.float32))
    y = torch.from_numpy(fitted.joints_m).flatten(1)
    head = _Head(x.shape[1], recipe.hidden, y.mean(0), random)
    optimiser = torch.optim.AdamW(
        head.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    for step in range(recipe.steps):
        for group in optimiser.param_groups:
            left = 0.5 * (1 + math.cos(math.pi * step / recipe.steps))
            group["lr"] = recipe.learning_rate * left
        rows = torch.randint(len(x), (recipe.batch,), generator=random)
        loss = (head(x[rows]) - y[rows]).abs().mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        unseen = ((held_out.features - middle) / scale).astype(np.float32)
        read = head(torch.from_numpy(unseen)).numpy().astype(np.float64)
    return _judge(read.reshape(held_out.joints_m.shape), fitted, held_out)


class _Head(nn.Module):
    """One hidden layer that starts at the mean pose; a generator of its own seeds it."""

    def __init__(self, units: int, hidden: int, start: Tensor, random: torch.Generator) -> None:
        super().__init__()
        self.inner = nn.Linear(units, hidden)
        self.outer = nn.Linear(hidden, len(start))
        with torch.no_grad():
            bound = units**-0.5
            self.inner.weight.uniform_(-bound, bound, generator=random)
            self.inner.bias.uniform_(-bound, bound, generator=random)
            self.outer.weight.zero_()
            self.outer.bias.copy_(start)

    def forward(self, features: Tensor) -> Tensor:
        """Read [b, outputs] from [b, units]."""
        return self.outer(functional.gelu(self.inner(features)))


def _standard(
    features: Float32[np.ndarray, "people units"],
) -> tuple[Float[np.ndarray, "units"], Float[np.ndarray, "units"]]:
    """Mean and deviation by unit; units that say the same of everybody are left as they are."""
    deviation = features.astype(np.float64).std(axis=0)
    responds = deviation > _SILENT * deviation.max(initial=0.0)
    return features.astype(np.float64).mean(axis=0), np.where(responds, deviation, 1.0)


def _judge(read_m: Joints, fitted: Known, held_out: Known) -> ProbeResult:
    truth_m = held_out.joints_m.astype(np.float64)
    counted: Bool[np.ndarray, "people joints"] = np.ones(truth_m.shape[:2], np.bool_)
    errors_mm = position_errors_mm(read_m, truth_m, counted)
    return ProbeResult(
        mpjpe_mm=bootstrap_mean(errors_mm),
        errors_mm=errors_mm,
        fitted_people=len(fitted),
        held_out_people=len(held_out),
    )
