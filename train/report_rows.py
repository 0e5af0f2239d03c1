"""From arrays to rows of a report: errors, scores, latents, and readings of the forgetting meter.

In: what `train.metrics`, `train.confidence`, `train.representation`, `train.probes` and
`train.forgetting` give.  Out: rows of `train.report_results`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np
from jaxtyping import Float, Int

from train.confidence import Reliability, bootstrap_mean
from train.forgetting import Reading
from train.probes import ProbeResult
from train.report_results import Bin, Honesty, Network, Row, Stage
from train.representation import Monitors, Selectivity


def measured(
    *,
    name: str,
    method: str,
    seed: int,
    domain: str,
    metric: str,
    errors: Float[np.ndarray, "frames joints"],
    groups: Int[np.ndarray, "frames"] | None,
    seen_target_test: bool,
) -> Row:
    """Make a row of single errors (NaN where nothing was measured), with what pairing needs.

    Without groups each frame is one.
    """
    interval = bootstrap_mean(errors, groups)
    known = np.isfinite(errors)
    place = np.arange(len(errors)) if groups is None else np.unique(groups, return_inverse=True)[1]
    sums = np.bincount(place, weights=np.where(known, errors, 0.0).sum(axis=1))
    counts = np.bincount(place, weights=known.sum(axis=1))
    return Row(
        name=name,
        method=method,
        seed=seed,
        domain=domain,
        metric=metric,
        value=interval.mean,
        interval=(interval.low, interval.high),
        samples=int(known.any(axis=1).sum()),
        seen_target_test=seen_target_test,
        group_sums=tuple(round(float(value), 4) for value in sums),
        group_counts=tuple(int(count) for count in counts),
    )


def honesty(name: str, found: Reliability) -> Honesty:
    """Keep the bins that hold anything."""
    kept = zip(found.counts, found.mean_score, found.share_right, strict=True)
    return Honesty(
        name=name,
        expected_error=found.expected_error,
        bins=tuple(
            Bin(count=int(count), mean_score=float(score), share_right=float(right))
            for count, score, right in kept
            if count
        ),
    )


def network(
    name: str,
    pictures: str,
    watched: Monitors,
    *,
    probes: Mapping[str, ProbeResult],
    selective: Mapping[str, Selectivity],
) -> Network:
    """Make a row of what was measured of one network's latents.

    Args:
        name: of the network.
        pictures: on which.
        watched: monitors of its latents.
        probes: by name, such as `linear probe`.
        selective: by the name of the label, such as `activity`.

    """
    values = {key.replace("_", " "): float(value) for key, value in asdict(watched).items()}
    for probe, found in probes.items():
        values[f"{probe}, MPJPE mm"] = found.mpjpe_mm.mean
    for label, shares in selective.items():
        values[f"units selective for {label}"] = shares.above_chance
    return Network(network=name, pictures=pictures, values=values)


def stages(run: str, readings: Sequence[Reading]) -> tuple[Stage, ...]:
    """Make rows of a run's readings, in millimetres where there is 3D truth and in the picture."""
    found = []
    for reading in readings:
        drift = {} if reading.drift is None else asdict(reading.drift)
        seen = {**drift, "reconstruction": reading.reconstruction}
        watched = {key.replace("_", " "): float(v) for key, v in seen.items() if v is not None}
        in_mm = {domain: error.mm for domain, error in reading.errors.items()}
        known_mm = {domain: value for domain, value in in_mm.items() if value is not None}
        if known_mm:
            found.append(
                Stage(
                    run=run,
                    stage=reading.stage,
                    metric="MPJPE mm",
                    errors=known_mm,
                    forgotten=dict(reading.forgotten_mm),
                    watched=watched,
                )
            )
        found.append(
            Stage(
                run=run,
                stage=reading.stage,
                metric="2D error, % of crop",
                errors={domain: error.crop_percent for domain, error in reading.errors.items()},
                forgotten=dict(reading.forgotten_crop_percent),
            )
        )
    return tuple(found)
