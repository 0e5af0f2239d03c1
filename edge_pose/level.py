"""Which way is up before a camera that hangs askew, and where on the floor a place is.

In: the camera's tilt, places in camera axes.  Out: the direction of up in camera axes; metres to
the right of the camera and ahead of it, as seen from above.
"""

import math
from typing import Final

import numpy as np
from jaxtyping import Float64

UPRIGHT: Final = (0.0, -1.0, 0.0)
"""Up in the axes of a camera that looks at the horizon."""


def up_in_camera(pitch_deg: float, roll_deg: float) -> Float64[np.ndarray, "3"]:
    """Give the unit vector that points up, in camera axes.

    A camera that looks below the horizon has a positive pitch; with a positive roll what is level
    runs down to the right in the picture.  Both are what `python -m train mounting` tells.
    """
    pitch, roll = math.radians(pitch_deg), math.radians(roll_deg)
    return np.array(
        [math.sin(roll) * math.cos(pitch), -math.cos(roll) * math.cos(pitch), -math.sin(pitch)]
    )


def on_floor_m(
    place_m: Float64[np.ndarray, "3"], up: Float64[np.ndarray, "3"]
) -> tuple[float, float]:
    """Metres to the right of the camera and ahead of it, whatever the height."""
    forward = np.array([0.0, 0.0, 1.0]) - up[2] * up
    forward = forward / np.linalg.norm(forward)
    right = np.cross(forward, up)
    return float(place_m @ right), float(place_m @ forward)
