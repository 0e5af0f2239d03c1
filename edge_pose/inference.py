"""Pictures through a network: normalised as the manifest says, in batches that it can take."""

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from edge_pose.engines import Engine
from edge_pose.manifest import InputSpec, NetworkSpec

Image = UInt8[np.ndarray, "height width 3"]
Channels = tuple[float, float, float]
"""Red, green, blue."""


def infer(engine: Engine, network: NetworkSpec, images: Sequence[Image]) -> dict[str, np.ndarray]:
    """Run BGR pictures of the network's own size; outputs have one row a picture."""
    at_once = network.batch or engine.at_once
    parts = [
        engine.run({network.input.name: normalise(images[index : index + at_once], network.input)})
        for index in range(0, len(images), at_once)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def normalise(
    images: Sequence[Image], spec: InputSpec
) -> Float32[np.ndarray, "batch 3 height width"]:
    """BGR bytes to the network's RGB floats: (pixel / 255 - mean) / std."""
    height, width = images[0].shape[:2]
    batch = np.empty((len(images), 3, height, width), np.float32)
    for image, planes in zip(images, batch, strict=True):
        blue_green_red = cv2.split(image)
        for channel, (scale, offset) in enumerate(zip(*scale_and_offset(spec), strict=True)):
            plane = planes[channel]
            np.multiply(blue_green_red[2 - channel], np.float32(scale), out=plane)
            plane -= np.float32(offset)
    return batch


def scale_and_offset(spec: InputSpec) -> tuple[Channels, Channels]:
    """Tell the same in one step for each channel, red first: byte * scale - offset."""
    red, green, blue = (
        (1.0 / (255.0 * std), mean / std) for mean, std in zip(spec.mean, spec.std, strict=True)
    )
    return (red[0], green[0], blue[0]), (red[1], green[1], blue[1])
