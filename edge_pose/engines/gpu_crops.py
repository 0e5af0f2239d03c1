"""Crops that never visit the processor: cut on the GPU, straight into the pose network's input.

In: frames, each uploaded once, and how every person's square is read from it.  Out: the network's
answers.  The work is that of preprocess.cu, one launch for all people of a batch.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import UInt8

from edge_pose.engines.cuda import Buffer, Gpu, Kernel
from edge_pose.engines.tensorrt_engine import TensorRtEngine
from edge_pose.types import Sampling

SOURCE: Final = Path(__file__).with_name("preprocess.cu")
KERNEL: Final = "cut_crops"
PARAMETERS: Final = "PiiiPiffffffP"
"""Types of the kernel's parameters, as Python's struct names them."""
CUT: Final = np.dtype(
    [
        ("blocks_from_crop", np.float32, (2, 3)),
        ("first_px", np.int32, 2),
        ("blocks", np.int32, 2),
        ("block_px", np.int32),
    ]
)
"""What preprocess.cu calls Cut: how one person's square is read."""
_THREADS: Final = (32, 8, 1)
"""A warp lies along a row, so that its writes are one piece of memory."""

Channels = tuple[float, float, float]
"""Red, green, blue."""


class GpuCrops:
    """The pose network behind the protocol `FrameEngine`; any thread may call, one thread works."""

    def __init__(
        self, engine: TensorRtEngine, gpu: Gpu, *, scale: Channels, offset: Channels
    ) -> None:
        """Compile the kernel, or raise a `KernelError`; the network gets byte * scale - offset."""
        self._engine = engine
        self._gpu = gpu
        self._channels = (*scale, *offset)
        self._side_px = engine.side_px
        self._kernel: Kernel | None = None
        self._frame: Buffer | None = None
        self._cuts: Buffer | None = None
        try:
            gpu.call(self._open)
        except BaseException:
            self.close()
            raise

    @property
    def description(self) -> str:
        """Runtime, version, device and precision in one line."""
        return f"{self._engine.description}, crops cut on the GPU"

    def show(self, image: UInt8[np.ndarray, "height width 3"]) -> None:
        """Begin to upload a frame; returns when it was copied, before it has arrived."""
        self._gpu.call(lambda: self._show(image))

    def run_crops(self, samplings: Sequence[Sampling]) -> dict[str, np.ndarray]:
        """Cut and infer; more people than the engine takes at once go in several batches."""
        if not samplings:
            raise ValueError("nothing to cut: give at least one square")
        cuts = cuts_of(samplings)

        def fill(pictures: Buffer, begin: int, count: int) -> None:
            self._cut(cuts[begin : begin + count], pictures)

        return self._engine.run_filled(len(samplings), fill)

    def close(self) -> None:
        """Give back what the GPU holds for frames; closing twice is fine."""
        self._gpu.call(self._give_back)

    # What follows runs on the owner thread of the GPU.

    def _open(self) -> None:
        self._kernel = self._gpu.kernel(SOURCE.read_text(encoding="utf-8"), KERNEL, PARAMETERS)
        self._cuts = self._gpu.buffer((self._engine.at_once, CUT.itemsize), np.uint8)

    def _show(self, image: UInt8[np.ndarray, "height width 3"]) -> None:
        if self._kernel is None:
            raise RuntimeError("the crops were closed")
        if self._frame is None or self._frame.host.shape != image.shape:
            if self._frame is not None:
                self._frame.close()
                self._frame = None
            self._frame = self._gpu.buffer(image.shape, np.uint8)
        np.copyto(self._frame.host, image)
        self._frame.upload(self._gpu.stream)

    def _cut(self, cuts: np.ndarray, pictures: Buffer) -> None:
        """Enqueue one launch that fills the first rows of the network's input."""
        if self._kernel is None or self._cuts is None or self._frame is None:
            raise RuntimeError("no frame was shown")
        people = len(cuts)
        self._cuts.host[:people] = cuts.view(np.uint8).reshape(people, CUT.itemsize)
        self._cuts.upload(self._gpu.stream)
        height_px, width_px, _ = self._frame.host.shape
        across, down, _ = _THREADS
        self._kernel.launch(
            (-(-self._side_px // across), -(-self._side_px // down), people),
            _THREADS,
            self._gpu.stream,
            self._frame.address,
            width_px,
            height_px,
            self._frame.host.strides[0],
            self._cuts.address,
            self._side_px,
            *self._channels,
            pictures.address,
        )

    def _give_back(self) -> None:
        for buffer in (self._frame, self._cuts):
            if buffer is not None:
                buffer.close()
        self._frame = self._cuts = self._kernel = None


def cuts_of(samplings: Sequence[Sampling]) -> np.ndarray:
    """Lay samplings out as the kernel reads them: an array of `CUT`, one for each."""
    return np.array(
        [(each.blocks_from_crop, each.first_px, each.blocks, each.block_px) for each in samplings],
        CUT,
    )
