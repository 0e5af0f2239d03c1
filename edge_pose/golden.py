"""Does this runtime on this machine give what the workshop measured?  Asked at every start.

In: a bundle and its engines. Out: how far they deviate, or a `BundleError`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from jaxtyping import UInt8

from edge_pose.bundle import Bundle
from edge_pose.engines import Engine, Engines, FrameEngine
from edge_pose.errors import BundleError
from edge_pose.inference import infer
from edge_pose.manifest import OUTPUTS
from edge_pose.types import Sampling

_MM_PER_M: Final = 1000.0
_PROBABILITY_TOLERANCE: Final = 0.05
_BELIEVED_SCORE: Final = 0.3
"""Boxes below this score reach nobody, so they may differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deviation:
    """Largest differences from the golden outputs."""

    px: float
    mm: float
    probability: float


def check_golden(bundle: Bundle, engines: Engines, *, precision: str = "fp32") -> Deviation:
    """Run the golden pictures and refuse engines that answer otherwise than the workshop did.

    Where the pose network cuts its crops by itself, that is what is asked.
    """
    with np.load(bundle.golden_path) as stored:
        golden = dict(stored)
    pose = _outputs(bundle, golden, "pose", engines.pose_in_frame or engines.pose)
    detector = _outputs(bundle, golden, "detector", engines.detector)
    found = Deviation(
        px=_largest(
            pose["joints_px"] - golden["pose.joints_px"],
            pose["reach_px"] - golden["pose.reach_px"],
            _believed_boxes(golden, detector),
        ),
        mm=_MM_PER_M * _largest(pose["joints_m"] - golden["pose.joints_m"]),
        probability=_largest(
            pose["scores"] - golden["pose.scores"],
            pose["presence"] - golden["pose.presence"],
            detector["scores"] - golden["detector.scores"],
        ),
    )
    _judge(bundle, found, precision, (engines.pose_in_frame or engines.pose).description)
    return found


def check_golden_at(
    bundle: Bundle, engines: Engines, batches: Sequence[int], *, precision: str
) -> None:
    """Ask the same at every batch size of the pose network: each has code of its own on a GPU."""
    for batch in batches:
        frames = engines.pose_in_frame
        at_batch = replace(
            engines,
            pose=_AtBatch(engines.pose, batch),
            pose_in_frame=None if frames is None else _FramesAtBatch(frames, batch),
        )
        check_golden(bundle, at_batch, precision=precision)


class _AtBatch:
    """An engine that is always given as many pictures at once as one of its sizes takes."""

    def __init__(self, engine: Engine, batch: int) -> None:
        self._engine = engine
        self._batch = batch
        self.at_once = batch
        self.description = f"{engine.description}, {batch} at once"

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Infer each picture as the last of a full batch of copies."""
        rows = max(map(len, inputs.values()))
        answers = [
            self._engine.run(
                {
                    name: np.repeat(values[row : row + 1], self._batch, axis=0)
                    for name, values in inputs.items()
                }
            )
            for row in range(rows)
        ]
        return {
            name: np.concatenate([answer[name][-1:] for answer in answers]) for name in answers[0]
        }

    def close(self) -> None:
        """Nothing to give back: the engine belongs to somebody else."""


class _FramesAtBatch:
    """The same for an engine that cuts out of frames by itself."""

    def __init__(self, engine: FrameEngine, batch: int) -> None:
        self._engine = engine
        self._batch = batch
        self.description = f"{engine.description}, {batch} at once"

    def show(self, image: UInt8[np.ndarray, "height width 3"]) -> None:
        """Take a frame."""
        self._engine.show(image)

    def run_crops(self, samplings: Sequence[Sampling]) -> dict[str, np.ndarray]:
        """Infer each square as the last of a full batch of the same."""
        answers = [self._engine.run_crops([each] * self._batch) for each in samplings]
        return {
            name: np.concatenate([answer[name][-1:] for answer in answers]) for name in answers[0]
        }

    def close(self) -> None:
        """Nothing to give back: the engine belongs to somebody else."""


def _outputs(
    bundle: Bundle, golden: dict[str, np.ndarray], label: str, engine: Engine | FrameEngine
) -> dict[str, np.ndarray]:
    network = bundle.manifest.networks.by_label()[label]
    wanted = [f"{label}.images", *(f"{label}.{name}" for name in OUTPUTS[label])]
    if missing := [name for name in wanted if name not in golden]:
        raise BundleError(f"{bundle.golden_path} lacks {', '.join(missing)}; pack the bundle again")
    pictures = list(golden[f"{label}.images"])
    outputs = (
        _infer_as_frames(engine, pictures)
        if isinstance(engine, FrameEngine)
        else infer(engine, network, pictures)
    )
    for name in OUTPUTS[label]:
        expected, found = golden[f"{label}.{name}"].shape, outputs[name].shape
        if expected != found:
            raise BundleError(
                f"{label} gives {name} of shape {list(found)} on {engine.description}, "
                f"golden has {list(expected)}; install the bundle again"
            )
    return outputs


def _infer_as_frames(engine: FrameEngine, pictures: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """Hide each picture in a frame, turned, doubled and aside, so that cutting it gives it back."""
    answers = []
    for picture in pictures:
        frame, hidden = hide(picture)
        engine.show(frame)
        answers.append(engine.run_crops([hidden]))
    return {name: np.concatenate([answer[name] for answer in answers]) for name in answers[0]}


def hide(
    picture: UInt8[np.ndarray, "side side 3"],
) -> tuple[UInt8[np.ndarray, "height width 3"], Sampling]:
    """Make a frame of a picture, and tell how it is read from it, exact in every pixel.

    A quarter of a turn, blocks of equal pixels and a place aside ask for all that cutting does,
    and leave nothing to round.
    """
    side_px, block_px = len(picture), 2
    left_px, top_px = 5, 3
    turned = np.rot90(picture).repeat(block_px, axis=0).repeat(block_px, axis=1)
    frame = np.pad(turned, ((top_px, 1), (left_px, 2), (0, 0)))
    return frame, Sampling(
        blocks_from_crop=np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, side_px - 1.0]]),
        first_px=(left_px, top_px),
        blocks=(side_px, side_px),
        block_px=block_px,
    )


def _believed_boxes(golden: dict[str, np.ndarray], detector: dict[str, np.ndarray]) -> np.ndarray:
    """Compare boxes that reach somebody by either account."""
    best = np.maximum(golden["detector.scores"], detector["scores"])
    return np.asarray((detector["boxes_px"] - golden["detector.boxes_px"])[best >= _BELIEVED_SCORE])


def _judge(bundle: Bundle, found: Deviation, precision: str, where: str) -> None:
    manifest = bundle.manifest
    if precision not in manifest.tolerance_px or precision not in manifest.tolerance_mm:
        known = sorted(manifest.tolerance_px.keys() & manifest.tolerance_mm.keys())
        raise BundleError(
            f"{bundle.folder} states no tolerance for {precision}, only for {', '.join(known)}"
        )
    limit_px, limit_mm = manifest.tolerance_px[precision], manifest.tolerance_mm[precision]
    # Written so that a NaN fails.
    if not (
        found.px <= limit_px
        and found.mm <= limit_mm
        and found.probability <= _PROBABILITY_TOLERANCE
    ):
        raise BundleError(
            f"the golden pictures of {bundle.folder} come out {found.px:.2f} px, {found.mm:.1f} mm "
            f"and {found.probability:.2f} in probability away on {where}, allowed are "
            f"{limit_px:g} px, {limit_mm:g} mm and {_PROBABILITY_TOLERANCE:g}; "
            f"install the bundle again or report this machine"
        )


def _largest(*differences: np.ndarray) -> float:
    """NaN when any is NaN, which Python's own max would lose."""
    return float(np.max([np.abs(values).max(initial=0.0) for values in differences]))
