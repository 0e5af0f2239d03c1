"""Pictures through a network: normalised as the manifest says, in batches that it can take."""

from collections.abc import Sequence
from functools import partial
from typing import TypeVar

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from edge_pose.engines import Answer, Engine, begin
from edge_pose.manifest import InputSpec, NetworkSpec

Image = UInt8[np.ndarray, "height width 3"]
Channels = tuple[float, float, float]
"""Red, green, blue."""
_Item = TypeVar("_Item")


def infer(engine: Engine, network: NetworkSpec, images: Sequence[Image]) -> dict[str, np.ndarray]:
    """Run BGR pictures of the network's own size; outputs have one row a picture."""
    parts = batches(engine, network, images)
    alone = len(parts) == 1
    return collect([begin_batch(engine, network, part, alone=alone) for part in parts])


def batches(engine: Engine, network: NetworkSpec, items: Sequence[_Item]) -> list[Sequence[_Item]]:
    """Divide what there is one of for each picture as the engine likes to be given pictures."""
    at_once = network.batch or engine.at_once
    return [items[index : index + at_once] for index in range(0, len(items), at_once)]


def begin_batch(
    engine: Engine, network: NetworkSpec, images: Sequence[Image], *, alone: bool
) -> Answer:
    """Begin to run BGR pictures that may be given together; `alone` when nothing else will run."""
    inputs = {network.input.name: normalise(images, network.input)}
    return partial(engine.run, inputs) if alone else begin(engine, inputs)


def collect(answers: Sequence[Answer]) -> dict[str, np.ndarray]:
    """Wait for all answers, at least one; outputs have the rows of the first, then of the next.

    The last is asked for first: helpers begin at the other end.
    """
    parts = [answer() for answer in reversed(answers)][::-1]
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
            if offset:
                plane -= np.float32(offset)
    return batch


def scale_and_offset(spec: InputSpec) -> tuple[Channels, Channels]:
    """Tell the same in one step for each channel, red first: byte * scale - offset."""
    red, green, blue = (
        (1.0 / (255.0 * std), mean / std) for mean, std in zip(spec.mean, spec.std, strict=True)
    )
    return (red[0], green[0], blue[0]), (red[1], green[1], blue[1])
