"""Make scores mean what they say: fit, on held-out people, how logits become probabilities.

In: raw logits of the scores, whether each joint was within the radius, and whether anyone judged
it.  Out: a slope and an offset for each joint (Platt 1999, with one slope for all joints so that
rare joints cannot run away).
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float32
from torch.nn import functional

_STEPS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """probability = sigmoid(slope * logit + offset), joint by joint."""

    slope: tuple[float, ...]
    offset: tuple[float, ...]

    def table(self) -> dict[str, tuple[float, ...]]:
        """Return both by name, as they are kept in JSON."""
        return {"slope": self.slope, "offset": self.offset}


def identity(joints: int) -> Calibration:
    """Return the calibration that changes nothing."""
    return Calibration(slope=(1.0,) * joints, offset=(0.0,) * joints)


def fit_calibration(
    logits: Float32[np.ndarray, "people joints"],
    right: Bool[np.ndarray, "people joints"],
    judged: Bool[np.ndarray, "people joints"],
) -> Calibration:
    """Minimise the cross-entropy of held-out outcomes by L-BFGS."""
    x, y, weight = (torch.from_numpy(a.astype(np.float32)) for a in (logits, right, judged))
    log_slope = torch.zeros(1, requires_grad=True)
    offset = torch.zeros(logits.shape[1], requires_grad=True)
    optimiser = torch.optim.LBFGS(
        [log_slope, offset], max_iter=_STEPS, line_search_fn="strong_wolfe"
    )

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        loss = (
            functional.binary_cross_entropy_with_logits(
                x * log_slope.exp() + offset, y, weight, reduction="sum"
            )
            / weight.sum()
            + 1e-3 * offset.square().mean()
        )
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimiser.step(closure)  # type: ignore[no-untyped-call]
    slope = float(log_slope.detach().exp())
    return Calibration(slope=(slope,) * logits.shape[1], offset=tuple(offset.detach().tolist()))
