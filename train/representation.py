"""How a network's latents use their units: numbers to watch, never part of a loss.

In: latents [samples, units] of one layer, one row a picture (samples that resemble each other, such
as frames of one clip, count as one too many each), and for selectivity a label a sample.  Out:
`Monitors`, one number each for how much units repeat each other, how many stay silent, and how many
directions are in use; `Selectivity`, one number a unit with what chance would give.

Decorrelation and the two sparsities are those of Weiler et al. 2024, arXiv:2404.08526.  There they
are taken of rates; latents here have signs, so the sparsities are taken of magnitudes: with signs
they would be near 1 for whatever has a mean of zero.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from edge_pose.errors import ConfigError

RANKME_EPSILON: Final = 1e-7
"""Of Garrido et al. 2023: keeps the logarithm of a singular value of zero finite."""
NULL_QUANTILE: Final = 0.95
_SHUFFLES: Final = 200
_SILENT: Final = 1e-9
"""A unit whose standard deviation is below this share of the largest value does not respond."""

Latents = Float[np.ndarray, "samples units"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Monitors:
    """How one layer uses its units on one set of pictures."""

    samples: int
    units: int
    silent_units: int
    """Units that say the same of every picture."""
    decorrelation: float
    """0 when no unit repeats another, units - 1 when all say the same."""
    lifetime_sparsity: float
    """0 when every unit answers equally to all pictures, near 1 when to few."""
    population_sparsity: float
    """0 when every picture moves all units equally, near 1 when few."""
    participation_ratio: float
    """Number of directions in which the latents vary, 1 to `units`."""
    rankme: float
    """Effective rank of the latents, 1 to `units`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selectivity:
    """How well each unit tells the classes of one label apart, and what chance gives."""

    shares: Float[np.ndarray, "units"]
    """Share of the unit's variance that lies between the classes, 0 to 1."""
    null_quantiles: Float[np.ndarray, "units"]
    """95 % quantile of the same share when the labels are shuffled."""
    classes: tuple[str, ...]

    @property
    def above_chance(self) -> float:
        """Share of the units above their own quantile; 0.05 is what chance gives."""
        return float((self.shares > self.null_quantiles).mean())


def monitors(latents: Latents | Tensor) -> Monitors:
    """Measure everything that needs no label."""
    rates = as_array(latents)
    if len(rates) < 2:
        raise ConfigError(
            f"The representation of {len(rates)} picture(s) says nothing; give at least 2"
        )
    return Monitors(
        samples=rates.shape[0],
        units=rates.shape[1],
        silent_units=int((~_responds(rates)).sum()),
        decorrelation=decorrelation(rates),
        lifetime_sparsity=lifetime_sparsity(np.abs(rates)),
        population_sparsity=population_sparsity(np.abs(rates)),
        participation_ratio=participation_ratio(rates),
        rankme=rankme(rates),
    )


def as_array(latents: Latents | Tensor) -> Float[np.ndarray, "samples units"]:
    """Return latents [samples, units] of either library as an array of doubles."""
    array = latents.detach().cpu().numpy() if isinstance(latents, Tensor) else latents
    return array.astype(np.float64)


def decorrelation(latents: Latents) -> float:
    """Sum the squared correlations of different units, over the number of units that respond.

    sum_(i != j) C_ij^2 / D with C the covariance of standardised latents.  A D of silent units
    alone gives 0.
    """
    kept = latents[:, _responds(latents)]
    units = kept.shape[1]
    if units == 0:
        return 0.0
    standard = (kept - kept.mean(axis=0)) / kept.std(axis=0)
    correlation = standard.T @ standard / len(standard)
    return float(((correlation**2).sum() - (np.diag(correlation) ** 2).sum()) / units)


def lifetime_sparsity(rates: Latents) -> float:
    """Average 1 - (E_b r)^2 / E_b r^2 over units, E_b over the samples; `rates` are not negative.

    Units that never answer are left out.
    """
    return _sparsity(rates.T)


def population_sparsity(rates: Latents) -> float:
    """Average 1 - (E_u r)^2 / E_u r^2 over samples, E_u over the units; `rates` are not negative.

    Samples that no unit answers are left out.
    """
    return _sparsity(rates)


def participation_ratio(latents: Latents) -> float:
    """Count the directions in which latents vary: (sum lambda)^2 / sum lambda^2, 0 for none.

    lambda are the eigenvalues of the covariance (Gao et al. 2017, doi:10.1101/214262).  Their sum
    and the sum of their squares are traces, so nothing is decomposed.
    """
    centred = latents - latents.mean(axis=0)
    short = centred if centred.shape[1] <= centred.shape[0] else centred.T
    gram = short.T @ short
    power = float((gram**2).sum())
    return float(np.trace(gram) ** 2 / power) if power > 0 else 0.0


def rankme(latents: Latents) -> float:
    """Effective rank: e to the entropy of the normalised singular values of the latents as given.

    p_k = sigma_k / sum sigma + 1e-7 (Garrido et al. 2023, arXiv:2210.02885, equations 2 and 3).
    0 for latents that are all zero.
    """
    strengths = np.linalg.svd(latents, compute_uv=False)
    if not strengths.any():
        return 0.0
    shares = strengths / strengths.sum() + RANKME_EPSILON
    return float(np.exp(-(shares * np.log(shares)).sum()))


def selectivity(
    latents: Latents | Tensor,
    labels: Shaped[np.ndarray, "samples"],
    *,
    shuffles: int = _SHUFFLES,
    seed: int = 0,
) -> Selectivity:
    """Tell how much of each unit's variance lies between the classes of a label.

    The share is the squared correlation ratio, eta^2 = SS_between / SS_total; a silent unit has 0.
    Chance is what the same unit gives when the labels are dealt out anew.

    Args:
        latents: [samples, units].
        labels: one a sample: an activity, whether somebody is present, a site.
        shuffles: how often labels are dealt out for the quantile.
        seed: of the shuffles.

    Raises:
        ConfigError: the label is the same for every sample.

    """
    rates = as_array(latents)
    names, classes = np.unique(labels, return_inverse=True)
    if len(names) < 2:
        raise ConfigError(
            f"Selectivity for a label that is {names[0]!r} for all {len(labels)} pictures says "
            "nothing; give pictures of at least two classes"
        )
    responds = _responds(rates)
    centred = np.where(responds, rates - rates.mean(axis=0), 0.0)
    power = (centred**2).sum(axis=0)
    random = np.random.default_rng(seed)
    shuffled = [
        _between(centred, power, random.permutation(classes), len(names)) for _ in range(shuffles)
    ]
    return Selectivity(
        shares=_between(centred, power, classes, len(names)),
        null_quantiles=np.quantile(np.stack(shuffled), NULL_QUANTILE, axis=0),
        classes=tuple(str(name) for name in names),
    )


def _responds(latents: Latents) -> Shaped[np.ndarray, "units"]:
    scale = float(np.abs(latents).max(initial=0.0))
    return latents.std(axis=0) > _SILENT * scale


def _sparsity(rates: Float[np.ndarray, "rows columns"]) -> float:
    power = (rates**2).mean(axis=1)
    answered = power > 0
    if not answered.any():
        return 0.0
    return float((1 - rates.mean(axis=1)[answered] ** 2 / power[answered]).mean())


def _between(
    centred: Float[np.ndarray, "samples units"],
    power: Float[np.ndarray, "units"],
    classes: Int[np.ndarray, "samples"],
    count: int,
) -> Float[np.ndarray, "units"]:
    """Share of the power that the class means explain; `centred` has zero mean over samples."""
    member = np.eye(count)[classes]
    sums = member.T @ centred
    between = (sums**2 / member.sum(axis=0)[:, None]).sum(axis=0)
    return np.divide(between, power, out=np.zeros_like(power), where=power > 0)
