"""How far a body reaches: the same length at any distance, upright or lying."""

import numpy as np
import pytest
from jaxtyping import Float32

from bundles import BODY_M
from train.reach import reach_of

FOCAL_PX = 600.0
REACH_M = 0.655 * (0.5 + 0.42 + 0.38)
"""Of torso, thigh and shank of the stand-in body, to a centimetre."""


def seen(body_m: np.ndarray, root_m: tuple[float, float, float]) -> Float32[np.ndarray, "25 2"]:
    placed = body_m + np.array(root_m)
    return (placed[:, :2] / placed[:, 2:] * FOCAL_PX + 320.0).astype(np.float32)


@pytest.mark.parametrize("depth_m", [2.0, 4.0, 12.0])
def test_a_body_reaches_as_far_at_any_distance(depth_m: float) -> None:
    hips, top = reach_of(seen(BODY_M, (0.2, 0.1, depth_m)), BODY_M)
    np.testing.assert_allclose(hips, np.array([0.2, 0.1]) / depth_m * FOCAL_PX + 320.0, rtol=1e-5)
    assert hips[1] - top[1] == pytest.approx(REACH_M * FOCAL_PX / depth_m, rel=0.03)
    assert top[0] == pytest.approx(hips[0], abs=1e-3)


def test_a_body_that_lies_reaches_sideways() -> None:
    quarter = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]], np.float32)
    lying = (BODY_M @ quarter.T).astype(np.float32)
    hips, top = reach_of(seen(lying, (0.0, 0.0, 4.0)), lying)
    # The head, up at negative y, went to positive x.
    assert top[0] - hips[0] == pytest.approx(REACH_M * FOCAL_PX / 4.0, rel=0.03)
    assert top[1] == pytest.approx(hips[1], abs=1e-3)


def test_a_torso_that_points_at_the_camera_has_no_upright_but_its_size() -> None:
    bowed = BODY_M.copy()
    above = BODY_M[:, 1] < 0
    bowed[above] = np.stack([BODY_M[above, 0], 0.1 * BODY_M[above, 1], BODY_M[above, 1]], axis=1)
    hips, top = reach_of(seen(bowed, (0.0, 0.0, 6.0)), bowed)
    assert top[0] == hips[0]
    assert hips[1] - top[1] == pytest.approx(REACH_M * FOCAL_PX / 6.0, rel=0.12)
