"""Pictures through a network: normalised as the manifest says, in batches that it can take."""

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from edge_pose.engines import Engine
from edge_pose.manifest import InputSpec, NetworkSpec

_MOST_AT_ONCE: Final = 2
"""Where any number may go in and the engine has no `at_once`: a CPU is no faster with more."""

Image = UInt8[np.ndarray, "height width 3"]


def infer(engine: Engine, network: NetworkSpec, images: Sequence[Image]) -> dict[str, np.ndarray]:
    """Run BGR pictures of the network's own size; outputs have one row a picture."""
    at_once = network.batch or most_at_once(engine)
    parts = [
        engine.run({network.input.name: normalise(images[index : index + at_once], network.input)})
        for index in range(0, len(images), at_once)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def most_at_once(engine: Engine) -> int:
    """How many pictures an engine likes best, where its network takes any number."""
    return int(getattr(engine, "at_once", _MOST_AT_ONCE))


def normalise(
    images: Sequence[Image], spec: InputSpec
) -> Float32[np.ndarray, "batch 3 height width"]:
    """BGR bytes to the network's RGB floats: (pixel / 255 - mean) / std."""
    height, width = images[0].shape[:2]
    batch = np.empty((len(images), 3, height, width), np.float32)
    for image, planes in zip(images, batch, strict=True):
        blue_green_red = cv2.split(image)
        for channel, (mean, std) in enumerate(zip(spec.mean, spec.std, strict=True)):
            plane = planes[channel]
            np.multiply(blue_green_red[2 - channel], np.float32(1.0 / (255.0 * std)), out=plane)
            plane -= np.float32(mean / std)
    return batch
