"""From a network to an engine for one GPU: taken from the folder when it is believed, else built.

In: the file of a network.  Out: the bytes of its engine, which from then on lie in the folder.
"""

import hashlib
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge_pose.engines.engine_cache import EngineCache, EngineKey
from edge_pose.engines.tensorrt import OPTIONS, Built, TensorRt
from edge_pose.errors import BundleError

log = logging.getLogger(__name__)

_BYTES_PER_MB: Final = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """An engine and where it came from."""

    label: str
    precision: str
    engine: bytes
    took_s: float | None
    """How long it was built; None when it was kept from before."""

    def __str__(self) -> str:
        size = f"{len(self.engine) / _BYTES_PER_MB:.1f} MB"
        return f"{size}, built {'before' if self.took_s is None else f'in {self.took_s:.0f} s'}"


class Watch:
    """Hears how engines come about; this one tells the log."""

    def builds(self, label: str, precision: str, reason: str) -> None:
        """Hear that a build begins, and why."""
        log.info(
            "Building %s at %s, which takes minutes on a small GPU: %s", label, precision, reason
        )

    def progress(self, label: str, share: float, what: str) -> None:
        """Hear how far it is; called often, from a thread of the builder."""

    def made(self, made: Made) -> None:
        """Hear that an engine is there."""
        log.info("%s at %s: %s", made.label, made.precision, made)

    def refused(self, precision: str, reason: str) -> None:
        """Hear that a precision will not be used."""
        log.warning("TensorRT at %s is not used: %s", precision, reason)

    def crops(self, reason: str | None) -> None:
        """Hear that the GPU cuts the crops, or why the CPU has to."""
        if reason is None:
            log.info("The GPU cuts the crops")
        else:
            log.warning("The CPU cuts the crops: %s", reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Workbench:
    """Where engines are made: by which TensorRT, for which GPU, kept in which folder."""

    tensorrt: TensorRt
    cache: EngineCache
    gpu: str
    compute_capability: str
    target: str | None = None
    """A GPU that is not here, such as `SM86`; None for the one that is."""
    call: Callable[[Callable[[], Built]], Built] = lambda work: work()
    """Runs a build where the GPU's context is."""
    watch: Watch

    def make(self, label: str, network: Path, precision: str, *, fresh: bool = False) -> Made:
        """Return a network's engine, built unless it lies there; `fresh` builds in any case."""
        if self.target is None:
            self.tensorrt.serve(self.compute_capability)
        try:
            onnx = network.read_bytes()
        except OSError as error:
            raise BundleError(
                f"{network} cannot be read ({error.strerror}); copy the bundle again"
            ) from error
        key = self._key(label, hashlib.sha256(onnx).hexdigest(), precision)
        if fresh:
            self.cache.discard(key)
        kept = self.cache.read(key)
        if isinstance(kept, str):
            with self.cache.building():
                kept = self.cache.read(key)  # somebody else may have been building it
                if isinstance(kept, str):
                    self.watch.builds(label, precision, kept)
                    return self._build(key, onnx, str(network))
        made = Made(label=label, precision=precision, engine=kept, took_s=None)
        self.watch.made(made)
        return made

    def _build(self, key: EngineKey, onnx: bytes, where: str) -> Made:
        timing_key = self._key("timing", "", "")
        timing = self.cache.read(timing_key)
        stop = threading.Event()

        def progress(share: float, what: str) -> bool:
            self.watch.progress(key.what, share, what)
            return not stop.is_set()

        def work() -> Built:
            return self.tensorrt.build(
                onnx,
                where=where,
                target=self.target,
                timing=b"" if isinstance(timing, str) else timing,
                progress=progress,
            )

        begin_s = time.monotonic()
        try:
            built = self.call(work)
        except BaseException:
            stop.set()  # whoever waits has gone: an interrupted build ends at its next step
            raise
        if built.timing:
            self.cache.write(timing_key, built.timing)
        self.cache.write(key, built.engine)
        made = Made(
            label=key.what,
            precision=key.precision,
            engine=built.engine,
            took_s=time.monotonic() - begin_s,
        )
        self.watch.made(made)
        return made

    def _key(self, what: str, network_sha256: str, precision: str) -> EngineKey:
        return EngineKey(
            what=what,
            network_sha256=network_sha256,
            runtime=self.tensorrt.name,
            version=self.tensorrt.version,
            gpu=self.gpu,
            compute_capability=self.compute_capability,
            precision=precision,
            options=OPTIONS,
        )
