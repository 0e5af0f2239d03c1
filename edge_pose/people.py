"""A frame in, everybody in it out: detection on schedule, crops, poses, metres, smoothing.

The only place where the pure pieces meet; knows no camera, no broker and no inference runtime.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from types import MappingProxyType
from typing import Final

import numpy as np
from jaxtyping import Bool, Float32

from edge_pose.appearance import make_ready
from edge_pose.boxes import clipped
from edge_pose.bundle import Bundle
from edge_pose.camera import IntrinsicsFor
from edge_pose.change import ChangeDetector
from edge_pose.clock import NS_PER_MS, Clock, monotonic_ns
from edge_pose.crop import UncutCrop, take_crop
from edge_pose.decode import decode_poses
from edge_pose.detect import DetectSettings, Found, begin_to_find_people
from edge_pose.doubt import HOPELESS, best_look, goes_on, shown_in
from edge_pose.engines import Engines
from edge_pose.forecast import held, moved_on, resized
from edge_pose.inference import batches, begin_batch, collect
from edge_pose.likeness import quality
from edge_pose.metric import BodySize, root_translation
from edge_pose.region import FIRST_LOOKS, Region, region_of_box, region_of_upper_half
from edge_pose.sides import Sides
from edge_pose.sighting import Proposal, Track
from edge_pose.smooth import PoseFilter, SmoothSettings
from edge_pose.sweep import Sweep, View, closest_of
from edge_pose.track import Tracker
from edge_pose.track_settings import TrackSettings
from edge_pose.types import Crop, Frame, Intrinsics, Look, Pose3D, RelativePose

STAGES: Final = ("crop", "detect", "pose", "decode", "track", "place", "total")
"""Names of the times in `PoseEstimator.times_ms`; none but `total` contains another."""


_Seen = tuple[dict[str, np.ndarray], Sequence[Look]]
"""What the pose network gave, and a look for each row of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EstimatorSettings:
    """How frames become people."""

    tracking: TrackSettings = field(default_factory=TrackSettings)
    smoothing: SmoothSettings | None = field(default_factory=SmoothSettings)
    """None publishes every frame as it was seen."""
    detecting: DetectSettings = field(default_factory=DetectSettings)


@dataclass(slots=True)
class _Person:
    """What is known about one tracked person; freed with the track."""

    filter: PoseFilter | None
    size: BodySize = field(default_factory=BodySize)
    sides: Sides = field(default_factory=Sides)
    depth_m: float | None = None
    last: Pose3D | None = None
    before: Pose3D | None = None
    """As `last`, when looked at the time before."""


class PoseEstimator:
    """Turns one camera's frames, in order, into poses.  One owner thread."""

    def __init__(
        self,
        bundle: Bundle,
        *,
        engines: Engines,
        intrinsics_for: IntrinsicsFor,
        settings: EstimatorSettings | None = None,
        clock: Clock = monotonic_ns,
    ) -> None:
        """Start with nobody in sight; the engines stay the caller's to close."""
        self._manifest = bundle.manifest
        self._engines = engines
        self._intrinsics_for = intrinsics_for
        self._settings = settings or EstimatorSettings()
        self._clock = clock
        self._tracker = Tracker(self._settings.tracking)
        self._sweep = Sweep()
        self._change = ChangeDetector()
        self._people: dict[Track, _Person] = {}
        self._intrinsics: Intrinsics | None = None
        self._shown: Frame | None = None
        self._times_ms = dict.fromkeys(STAGES, 0.0)
        make_ready()

    @property
    def times_ms(self) -> Mapping[str, float]:
        """Milliseconds of each of `STAGES` in the last frame; 0 for a stage that was not needed."""
        return MappingProxyType(self._times_ms)

    @property
    def intrinsics(self) -> Intrinsics | None:
        """The camera of the last frame; None before the first."""
        return self._intrinsics

    @property
    def people_held(self) -> int:
        """How many people this object keeps anything about."""
        return max(len(self._people), self._tracker.memory_size)

    def process(self, frame: Frame) -> list[Pose3D]:
        """Find everybody in a frame, by number; whoever just went out of sight is stale."""
        self._times_ms = dict.fromkeys(STAGES, 0.0)
        with self._timed("total"):
            intrinsics = self._fit_to(frame)
            size = (intrinsics.width_px, intrinsics.height_px)
            views: tuple[View, ...] = ()
            found: Found | None = None
            with self._timed("track"):
                expected = self._tracker.expect(frame.captured_ns, frame_size_px=size)
                boxes = self._tracker.boxes_at(frame.captured_ns)
                changed = partial(self._change.changed, frame.image, boxes, frame.captured_ns)
                due = self._tracker.detection_due(frame.captured_ns, changed=changed)
            if due:
                views = self._sweep.next_views(*size)
                self._change.keep(frame.image, boxes, closest_of(views, size))
                found = self._begin_to_detect(frame, views, alone=not expected)
            seen_so_far = self._see(frame, expected, intrinsics, alone=found is None)
            known = dict(zip(expected, seen_so_far, strict=True))
            detections = None if found is None else found()
            with self._timed("track"):
                proposals = self._tracker.propose(
                    frame.captured_ns, detections, frame_size_px=size, views=views
                )
            seen = self._look(frame, proposals, intrinsics, known)
            with self._timed("track"):
                tracks = self._tracker.update(frame.captured_ns, proposals, seen)
            with self._timed("place"):
                return self._place(tracks, frame, intrinsics)

    def forget(self) -> None:
        """Let go of everybody; whoever is seen afterwards gets a number that nobody had."""
        self._tracker.forget()
        self._people = {}

    def _fit_to(self, frame: Frame) -> Intrinsics:
        """Take the camera for this frame's size; when the size changes, carry everybody over."""
        height, width = frame.image.shape[:2]
        old = self._intrinsics
        if old is None or (old.width_px, old.height_px) != (width, height):
            self._intrinsics = self._intrinsics_for(width, height)
            if old is not None:
                scale = np.array([width / old.width_px, height / old.height_px])
                self._tracker.rescale(*scale)
                for person in self._people.values():
                    person.filter = self._new_filter()
                    person.before = None
                    person.last = person.last and resized(person.last, scale)
            return self._intrinsics
        return old

    def _begin_to_detect(self, frame: Frame, views: Sequence[View], *, alone: bool) -> Found:
        return begin_to_find_people(
            self._engines.detector,
            self._manifest.networks.detector,
            frame.image,
            views,
            self._settings.detecting,
            alone=alone,
            timed=self._timed,
        )

    def _look(
        self,
        frame: Frame,
        proposals: Sequence[Proposal],
        intrinsics: Intrinsics,
        known: Mapping[Region, RelativePose],
    ) -> list[RelativePose]:
        """Run the pose network on every proposal that does not lead to what is `known` already.

        Where only a box is known it may hold all of a body or the upper half of one.  Most often it
        is all; where that does not lead to whom the box shows, and the detector is sure, the other
        is tried.
        """
        poses = {
            index: known[proposal.region]
            for index, proposal in enumerate(proposals)
            if proposal.region is not None and proposal.region in known
        }
        regions = {
            index: proposal.region
            for index, proposal in enumerate(proposals)
            if proposal.region is not None and index not in poses
        }
        poses.update(
            zip(regions, self._see(frame, list(regions.values()), intrinsics), strict=True)
        )
        padding = self._manifest.crop.padding
        boxes = {
            index: region_of_box(proposal.box_px, padding)
            for index, proposal in enumerate(proposals)
            if index not in poses or (proposal.drifted and not goes_on(proposal, poses[index]))
        }
        for index, pose in self._approach(frame, proposals, boxes, intrinsics).items():
            poses[index] = max(poses.get(index, pose), pose, key=quality)
        tracking = self._settings.tracking
        shown = partial(shown_in, joint_score_min=tracking.joint_score_min)
        halves = {
            index: region_of_upper_half(proposals[index].box_px)
            for index in boxes
            if proposals[index].region is None
            and (score := proposals[index].detection_score) >= tracking.sure_detection
            and score * shown(poses[index], proposals[index].box_px) < tracking.evidence_min
        }
        for index, pose in self._approach(frame, proposals, halves, intrinsics).items():
            box = proposals[index].box_px
            poses[index] = max(poses[index], pose, key=lambda pose: shown(pose, box))
        return [poses[index] for index in range(len(proposals))]

    def _approach(
        self,
        frame: Frame,
        proposals: Sequence[Proposal],
        starts: Mapping[int, Region],
        intrinsics: Intrinsics,
    ) -> dict[int, RelativePose]:
        """Look about boxes of proposals, by index, and again where the body seems to be.

        One look is enough where it finds next to nothing, as others did a few seconds ago.
        """
        looked_at = dict(starts)
        looks: dict[int, list[RelativePose]] = {index: [] for index in starts}
        for _ in range(1 + FIRST_LOOKS):
            seen = self._see(frame, list(looked_at.values()), intrinsics)
            for index, pose in zip(list(looked_at), seen, strict=True):
                looks[index].append(pose)
                looked_at[index] = pose.region
                if proposals[index].refused_before and quality(pose) < HOPELESS:
                    del looked_at[index]
        tracking = self._settings.tracking
        return {
            index: best_look(
                of_one,
                proposals[index].box_px,
                detection_score=proposals[index].detection_score,
                evidence_min=tracking.evidence_min,
                joint_score_min=tracking.joint_score_min,
            )
            for index, of_one in looks.items()
        }

    def _see(
        self,
        frame: Frame,
        regions: Sequence[Region],
        intrinsics: Intrinsics,
        *,
        alone: bool = True,
    ) -> list[RelativePose]:
        """Run the pose network on all regions at once; `alone`: the detector is not at work."""
        if not regions:
            return []
        if self._engines.pose_in_frame is None:
            outputs, looks = self._see_cut(frame, regions, alone=alone)
        else:
            outputs, looks = self._see_uncut(frame, regions)
        with self._timed("decode"):
            return decode_poses(outputs, looks, intrinsics, reach=self._manifest.crop.reach)

    def _see_cut(self, frame: Frame, regions: Sequence[Region], *, alone: bool) -> _Seen:
        """Cut here and hand the pictures in, the first while the next are being cut."""
        engine, network = self._engines.pose, self._manifest.networks.pose
        crops: list[Crop] = []
        answers = []
        parts = batches(engine, network, regions)
        alone = alone and len(parts) == 1
        for batch in parts:
            with self._timed("crop"):
                cut = [take_crop(frame.image, region, side_px=network.width_px) for region in batch]
                crops += cut
            with self._timed("pose"):
                answers.append(
                    begin_batch(engine, network, [crop.image for crop in cut], alone=alone)
                )
        with self._timed("pose"):
            return collect(answers), crops

    def _see_uncut(self, frame: Frame, regions: Sequence[Region]) -> _Seen:
        """Have the engine cut out of the frame that it was shown."""
        engine, side_px = self._engines.pose_in_frame, self._manifest.networks.pose.width_px
        assert engine is not None
        with self._timed("crop"):
            if self._shown is not frame:
                engine.show(frame.image)
                self._shown = frame
            crops = [
                UncutCrop(frame_image=frame.image, region=region, side_px=side_px)
                for region in regions
            ]
            samplings = [crop.sampling for crop in crops]
        with self._timed("pose"):
            return engine.run_crops(samplings), crops

    def _place(self, tracks: Sequence[Track], frame: Frame, intrinsics: Intrinsics) -> list[Pose3D]:
        """Give every reported track its metres; whoever is no longer reported is forgotten here."""
        self._people = {
            track: self._people.get(track) or _Person(self._new_filter()) for track in tracks
        }
        size_px = (intrinsics.width_px, intrinsics.height_px)
        poses = []
        for track, person in self._people.items():
            if person.last is None or track.seen_ns == frame.captured_ns:
                person.before = person.last
                person.last = self._measure(track, person, frame, intrinsics)
                poses.append(person.last)
            elif track.visible:
                pose = moved_on(person.last, person.before, frame.captured_ns)
                poses.append(replace(pose, box_px=clipped(pose.box_px, size_px)))
            else:
                poses.append(replace(held(person.last, frame.captured_ns), stale=True))
        return poses

    def _measure(
        self, track: Track, person: _Person, frame: Frame, intrinsics: Intrinsics
    ) -> Pose3D:
        at_ns = frame.captured_ns
        pose = person.sides.settle(track.pose, at_ns)
        relative_m = person.size.settle(pose.joints_m, pose.scores)
        root_m = root_translation(
            relative_m,
            pose.joints_px,
            pose.scores,
            intrinsics,
            expected_depth_m=person.depth_m,
        )
        person.depth_m = float(root_m[2])
        joints_px = pose.joints_px
        joints_m = relative_m + root_m
        if person.filter is not None:
            joints_px = person.filter.pixels(
                joints_px, at_ns, metres_per_px=float(root_m[2] / intrinsics.matrix[0, 0])
            )
            joints_m = person.filter.shape(relative_m, at_ns) + person.filter.place(root_m, at_ns)
        assert track.number is not None
        return Pose3D(
            track=track.number,
            score=quality(pose),
            box_px=clipped(track.box_px, (intrinsics.width_px, intrinsics.height_px)),
            joints_m=joints_m.astype(np.float32),
            joints_px=joints_px,
            scores=pose.scores,
            predicted=_uncertain(pose.scores, self._settings.tracking.joint_score_min),
            stale=False,
            captured_ns=at_ns,
        )

    def _new_filter(self) -> PoseFilter | None:
        smoothing = self._settings.smoothing
        return None if smoothing is None else PoseFilter(smoothing)

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        start_ns = self._clock()
        yield
        self._times_ms[stage] += (self._clock() - start_ns) / NS_PER_MS


def _uncertain(scores: Float32[np.ndarray, "joints"], least: float) -> Bool[np.ndarray, "joints"]:
    return scores < np.float32(least)
