"""The forgetting meter: after every stage, what a network still knows of every domain it has seen.

In: pose networks after each stage, fixed batches of each domain, a fixed probe of target pictures.
Out: a line of JSON for every stage, and an error when more was forgotten than the user allows.

Forgetting of a domain: its error now minus the least error of all earlier stages (Chaudhry et al.
2018, arXiv:1801.10112, for accuracy); below zero it got better.  Domains without 3D truth have an
error in the picture only, and no bound in millimetres.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from edge_pose.errors import EXIT_OPERATOR, ConfigError, EdgePoseError


class ForgotTooMuch(EdgePoseError):
    """A stage lost more of an earlier domain than allowed; adapt more gently or allow more."""

    exit_code = EXIT_OPERATOR


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainError:
    """How far a network is off in one domain."""

    crop_percent: float
    """Mean distance in the picture, in per cent of the crop's side."""
    mm: float | None
    """MPJPE, root mid-hip, all 25 joints; None without 3D truth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """How far attention moved away from a reference network, on the probe."""

    row_divergence_nats: float
    """Jensen-Shannon divergence of rows, last layers."""
    rollout_overlap: float
    """Of the fifth of the places that matter most, 1 = the same."""
    foreground_mass: float | None
    """Share of attention on people, last layers; None without masks."""
    foreground_mass_before: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What the meter says after a stage."""

    stage: str
    errors: Mapping[str, DomainError]
    forgotten_mm: Mapping[str, float] = field(default_factory=dict)
    """Only of domains that an earlier stage was measured on."""
    forgotten_crop_percent: Mapping[str, float] = field(default_factory=dict)
    drift: Drift | None = None
    reconstruction: float | None = None
    """Loss of a fixed decoder on the probe with fixed masks."""


class ForgettingMeter:
    """Readings of consecutive stages, kept in a file."""

    def __init__(self, path: Path, *, bound_mm: float | None = None) -> None:
        """Go on with the readings in `path`; `bound_mm` stops whoever forgets more."""
        self._path = path
        self._bound_mm = bound_mm
        lines = path.read_text().splitlines() if path.exists() else []
        self.readings = [_read(path, number, line) for number, line in enumerate(lines, start=1)]

    def add(
        self,
        stage: str,
        errors: Mapping[str, DomainError],
        *,
        drift: Drift | None = None,
        reconstruction: float | None = None,
    ) -> Reading:
        """Keep the reading of a stage, then check the bound; a stage's second reading replaces it.

        Raises ForgotTooMuch after the reading is safe on disk.
        """
        names = [reading.stage for reading in self.readings]
        earlier = self.readings[: names.index(stage)] if stage in names else self.readings
        reading = Reading(
            stage=stage,
            errors=dict(errors),
            forgotten_mm=_forgotten(errors, earlier, "mm"),
            forgotten_crop_percent=_forgotten(errors, earlier, "crop_percent"),
            drift=drift,
            reconstruction=reconstruction,
        )
        self.readings = [*earlier, reading]
        self._write()
        self._check(reading)
        return reading

    def _check(self, reading: Reading) -> None:
        worst = max(reading.forgotten_mm, key=lambda name: reading.forgotten_mm[name], default="")
        if self._bound_mm is None or not worst:
            return
        lost_mm, now_mm = reading.forgotten_mm[worst], reading.errors[worst].mm
        assert now_mm is not None
        if lost_mm > self._bound_mm:
            raise ForgotTooMuch(
                f"stage {reading.stage} forgot {lost_mm:.1f} mm of {worst} ({now_mm - lost_mm:.1f} "
                f"mm before, {now_mm:.1f} mm now), allowed are {self._bound_mm:.1f} mm; keep the "
                "network of the stage before, adapt with a larger share for the regularisation, or "
                "allow more"
            )

    def _write(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        part = self._path.with_suffix(".part")
        part.write_text("".join(json.dumps(asdict(reading)) + "\n" for reading in self.readings))
        part.replace(self._path)


def _forgotten(
    errors: Mapping[str, DomainError],
    earlier: Sequence[Reading],
    unit: Literal["mm", "crop_percent"],
) -> dict[str, float]:
    """Return each domain's error minus its least earlier one, where both are known."""
    found: dict[str, float] = {}
    for name, error in errors.items():
        now = getattr(error, unit)
        past = [
            getattr(reading.errors[name], unit) for reading in earlier if name in reading.errors
        ]
        known = [value for value in past if value is not None]
        if now is not None and known:
            found[name] = now - min(known)
    return found


def _read(path: Path, number: int, line: str) -> Reading:
    try:
        found: dict[str, Any] = json.loads(line)
        found["errors"] = {name: DomainError(**error) for name, error in found["errors"].items()}
        found["drift"] = None if found["drift"] is None else Drift(**found["drift"])
        return Reading(**found)
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(
            f"{path}:{number} is not a reading of the forgetting meter ({error}); delete the file "
            "and measure again"
        ) from error
