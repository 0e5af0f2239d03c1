"""A built engine on the GPU, behind our protocol; with tensorrt.py all that knows TensorRT.

In: the bytes of an engine that was built on this GPU, and pictures.  Out: arrays.  A batch is
filled up to the next size that the engine was built for; each size is recorded once as a CUDA
graph, from the network to the copy out, and launched as one.  How pictures get into the network's
input is up to `Fill`: they are copied from here, or made there.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_pose.engines.cuda import Buffer, Gpu, Graph
from edge_pose.engines.tensorrt import EngineError, TensorRt

log = logging.getLogger(__name__)

Fill = Callable[[Buffer, int, int], None]
"""Enqueues what puts `count` pictures, from the one at `begin` on, into a network's input."""


@dataclass(slots=True, kw_only=True)
class _Lane:
    """What one batch size needs; a context of its own, for recorded work stays tied to it."""

    context: Any
    buffers: dict[str, Buffer]
    graph: Graph | None = None

    def close(self) -> None:
        """Give back in reverse."""
        if self.graph is not None:
            self.graph.close()
        for buffer in self.buffers.values():
            buffer.close()
        self.context = None


class TensorRtEngine:
    """One network on the GPU; any thread may call, one thread works."""

    def __init__(self, tensorrt: TensorRt, engine: bytes, gpu: Gpu, *, precision: str) -> None:
        self._tensorrt = tensorrt
        self._gpu = gpu
        self._precision = precision
        self._lanes: dict[int, _Lane] = {}
        self._runtime: Any = None
        self._engine: Any = None
        try:
            gpu.call(lambda: self._load(engine))
        except BaseException:
            self.close()
            raise

    @property
    def batches(self) -> tuple[int, ...]:
        """How many pictures may go in at once without filling up, from few to many."""
        return tuple(sorted(self._profiles))

    @property
    def at_once(self) -> int:
        """How many pictures are best given together: all that one launch takes."""
        return max(self._profiles)

    @property
    def side_px(self) -> int:
        """Side of the square pictures that go in as floats, channel by channel."""
        *_, channels, height, width = self._engine.get_tensor_shape(self._input)
        dtype = self._tensors[self._input].dtype
        if channels != len("RGB") or height != width or dtype != np.float32:
            raise EngineError(
                f"{self._input} takes {channels} x {height} x {width} of {dtype}, but crops are "
                "squares of three channels in float32; export the network again"
            )
        return int(width)

    @property
    def description(self) -> str:
        """Runtime, version, device and precision in one line."""
        gpu = f"{self._gpu.name} (SM {self._gpu.compute_capability})"
        return f"{self._tensorrt.name} {self._tensorrt.version}, {gpu}, {self._precision}"

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Infer; a batch that fits no engine is split or filled up."""
        pictures = inputs[self._input]

        def fill(into: Buffer, begin: int, count: int) -> None:
            np.copyto(into.host[:count], pictures[begin : begin + count], casting="same_kind")
            into.upload(self._gpu.stream)

        return self.run_filled(len(pictures), fill)

    def run_filled(self, count: int, fill: Fill) -> dict[str, np.ndarray]:
        """Infer on `count` pictures that `fill` puts into place, on the thread of the GPU."""
        return self._gpu.call(lambda: self._run(count, fill))

    def close(self) -> None:
        """Give back what the GPU holds; closing twice is fine."""
        self._gpu.call(self._unload)

    def _load(self, engine: bytes) -> None:
        self._runtime, self._engine = self._tensorrt.deserialize(engine)
        self._tensors = self._tensorrt.tensors(self._engine)
        (self._input,) = (name for name, tensor in self._tensors.items() if tensor.is_input)
        batch, *size = self._engine.get_tensor_shape(self._input)
        self._profiles = {batch: 0}
        if batch < 0:  # any number may go in: each profile stands for one
            self._profiles = {
                self._engine.get_tensor_profile_shape(self._input, index)[2][0]: index
                for index in range(self._engine.num_optimization_profiles)
            }
        # All now, so that nobody waits when a second person walks in, and want of memory shows.
        for batch in self._profiles:
            self._open_lane(batch, tuple(size))

    def _unload(self) -> None:
        for lane in self._lanes.values():
            lane.close()
        self._lanes.clear()
        self._engine = self._runtime = None

    def _run(self, count: int, fill: Fill) -> dict[str, np.ndarray]:
        if self._engine is None:
            raise RuntimeError("the engine was closed")
        most = self.at_once
        parts = [
            self._run_batch(begin, min(most, count - begin), fill)
            for begin in range(0, count, most)
        ]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _run_batch(self, begin: int, rows: int, fill: Fill) -> dict[str, np.ndarray]:
        batch = min(size for size in self._profiles if size >= rows)
        lane = self._lanes[batch]
        fill(lane.buffers[self._input], begin, rows)
        if lane.graph is not None:
            lane.graph.launch()
        elif not self._enqueue(lane):
            raise EngineError(
                f"{self.description} does not run; start again, and report this machine if it stays"
            )
        self._gpu.stream.synchronize()
        return {
            name: lane.buffers[name].host[:rows].astype(np.float32)
            for name, tensor in self._tensors.items()
            if not tensor.is_input
        }

    def _open_lane(self, batch: int, size: tuple[int, ...]) -> None:
        stream, context = self._gpu.stream, self._tensorrt.context(self._engine)
        if context is None or not context.set_optimization_profile_async(
            self._profiles[batch], stream.handle
        ):
            raise EngineError(
                f"{self.description} has no room for {batch} pictures at once; free memory"
            )
        context.set_input_shape(self._input, (batch, *size))
        buffers: dict[str, Buffer] = {}
        lane = _Lane(context=context, buffers=buffers)
        self._lanes[batch] = lane  # from here on it is closed with the others
        for name, tensor in self._tensors.items():
            buffers[name] = self._gpu.buffer(tuple(context.get_tensor_shape(name)), tensor.dtype)
            context.set_tensor_address(name, buffers[name].address)
        # Rows that nobody asked for are computed too, on something finite.
        buffers[self._input].upload(stream)
        # Once for real, because what TensorRT prepares on a first run cannot be recorded.
        if self._enqueue(lane):
            stream.synchronize()
            lane.graph = self._gpu.capture(lambda: self._enqueue(lane))
        if lane.graph is None:
            log.info("%s runs without a CUDA graph at batch %d", self.description, batch)

    def _enqueue(self, lane: _Lane) -> bool:
        stream = self._gpu.stream
        done = bool(lane.context.execute_async_v3(stream.handle))
        for name, tensor in self._tensors.items():
            if not tensor.is_input:
                lane.buffers[name].download(stream)
        return done
