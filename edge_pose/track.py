"""Who is who from frame to frame: stable numbers, and regions that spare the detector.

In: detections (on some frames) and the poses found in the proposed regions. Out: where to look,
then the people, each with a number that stays through crossing, turning, occlusion and a short
absence.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from jaxtyping import Float32, Float64

from edge_pose.appearance import Appearance, blended
from edge_pose.assign import assign
from edge_pose.boxes import overlaps
from edge_pose.likeness import FEWEST_JOINTS, box_of, pose_likeness, quality
from edge_pose.memory import LONGEST_FORECAST_S, Departure, Memory, nearness, seconds
from edge_pose.region import Region
from edge_pose.sweep import View
from edge_pose.types import Detection, RelativePose

_SAME_PERSON: Final = 0.5
"""Likeness above which two poses of one frame are one person: about 6 cm apart in every joint."""
_DOUBLE_TOLERANCE: Final = 0.1
"""Parts of the half body length by which the joints of one person differ between two crops."""
_STILL_TOLERANCE: Final = 0.2
"""The same from one frame to the next, for somebody who keeps their velocity."""
_RESTLESS_TOLERANCE: Final = 1.0
"""What each second adds to it."""
_LEAST_LIKENESS: Final = 0.1
_OWN_CROP: Final = 0.1
"""Added to the likeness when the pose came from the track's own crop: habit decides what
likeness cannot.
"""
_LEAST_OVERLAP: Final = 0.1
_DRIFTED_OVERLAP: Final = 0.4
_VELOCITY_SETTLES_S: Final = 0.15
_DOUBTFUL_QUALITY: Final = 0.5
_APPEARANCE_SHARE: Final = 0.1
"""Of what a sighting shows, that enters what is known of a person's looks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackSettings:
    """How patient the tracker is."""

    max_people: int = 8
    detect_every: int = 6
    """Frames between two runs of the detector while everybody is in sight."""
    presence_min: float = 0.5
    joint_score_min: float = 0.3
    sure_detection: float = 0.6
    sure_presence: float = 0.8
    """Someone whom detector and pose network both believe this much is reported at once."""
    confirm_after: int = 3
    """Sightings after which anyone else is reported."""
    doubt_after: int = 5
    """Runs of the detector that may miss a person whose pose is poor."""
    stale_s: float = 0.5
    """How long the last pose of somebody out of sight is carried over."""
    remember_s: float = 5.0
    """How long the number is kept for somebody who comes back near where they left."""
    reach: float = 0.75
    """Body lengths from there that count as near, and half as many more for each second."""


@dataclass(slots=True, kw_only=True, eq=False)
class Track:
    """One person being followed."""

    number: int | None
    """None until confirmed."""
    pose: RelativePose
    box_px: Float32[np.ndarray, "4"]
    seen_ns: int
    velocity_px_s: Float64[np.ndarray, "2"] = field(default_factory=lambda: np.zeros(2))
    appearance: Appearance | None = None
    sightings: int = 1
    unconfirmed: int = 0
    """Runs of the detector in a row that did not see this person."""
    visible: bool = True
    """Seen in the newest frame."""

    def shift_px(self, at_ns: int) -> Float64[np.ndarray, "2"]:
        """How far the person has moved since last seen, going by their velocity."""
        return self.velocity_px_s * min(seconds(self.seen_ns, at_ns), LONGEST_FORECAST_S)

    def box_at(self, at_ns: int) -> Float32[np.ndarray, "4"]:
        """Where the box is by now."""
        return (self.box_px + np.tile(self.shift_px(at_ns), 2)).astype(np.float32)

    def departure(self) -> Departure:
        """Say what is to be remembered of this person."""
        return Departure(
            number=self.number,
            box_px=self.box_px,
            velocity_px_s=self.velocity_px_s,
            appearance=self.appearance,
            left_ns=self.seen_ns,
        )

    def region_at(self, at_ns: int) -> Region:
        """Where the whole body is by now."""
        return self.pose.region.shifted(self.shift_px(at_ns))

    def joints_at(self, at_ns: int) -> Float32[np.ndarray, "joints 2"]:
        """Where the joints are by now."""
        return (self.pose.joints_px + self.shift_px(at_ns)).astype(np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A place worth a look of the pose network, and why."""

    box_px: Float32[np.ndarray, "4"]
    region: Region | None
    """None where only a box is known: how large the body is remains to be seen."""
    track: Track | None
    detection: Detection | None


@dataclass(slots=True, kw_only=True)
class _Sighting:
    """One person in one frame: the best pose, and every proposal that led to this person."""

    pose: RelativePose
    proposals: list[Proposal]

    @property
    def detection(self) -> Detection | None:
        found = [proposal.detection for proposal in self.proposals if proposal.detection]
        return max(found, key=lambda detection: detection.score, default=None)


class Tracker:
    """Follows everybody in one camera's frames."""

    def __init__(self, settings: TrackSettings) -> None:
        """Start with nobody."""
        self._settings = settings
        self._tracks: list[Track] = []
        self._memory = Memory(remember_s=settings.remember_s, reach=settings.reach)
        self._next_number = 1
        self._frames_undetected = 0
        self._at_ns = 0

    def detection_due(self, at_ns: int) -> bool:
        """Whether this frame needs the detector: on schedule, or when anybody is missing.

        Time that runs backwards means that the source started again: then everybody is.
        """
        return (
            at_ns < self._at_ns
            or not self._tracks
            or any(not track.visible for track in self._tracks)
            or self._frames_undetected + 1 >= self._settings.detect_every
        )

    @property
    def memory_size(self) -> int:
        """How many people are followed or remembered."""
        return len(self._tracks) + len(self._memory)

    def rescale(self, scale_x: float, scale_y: float) -> None:
        """Carry everybody over to a new frame size and look for them at once."""
        scale = np.array([scale_x, scale_y])
        wide = np.tile(scale, 2)
        for track in self._tracks:
            track.box_px = (track.box_px * wide).astype(np.float32)
            track.velocity_px_s = track.velocity_px_s * scale
            track.pose = replace(
                track.pose,
                joints_px=(track.pose.joints_px * scale).astype(np.float32),
                region=track.pose.region.scaled(scale),
            )
        self._memory.rescale(scale)
        self._frames_undetected = self._settings.detect_every

    def propose(
        self,
        at_ns: int,
        detections: Sequence[Detection] | None,
        *,
        frame_size_px: tuple[int, int],
        views: Sequence[View],
    ) -> list[Proposal]:
        """Say where to look: at everybody followed, then at whom else the detector found.

        `detections` is None on frames without the detector; `frame_size_px` is width, height;
        `views` are the parts of the frame in which the detector looked.
        """
        if at_ns < self._at_ns:
            self._tracks = []
            self._memory.clear()
        self._at_ns = at_ns
        self._frames_undetected = 0 if detections is not None else self._frames_undetected + 1
        expected = _boxes([track.box_at(at_ns) for track in self._tracks])
        found = list(detections or ())
        boxes = _boxes([detection.box_px for detection in found])
        overlap = overlaps(expected, boxes)
        partner = dict(assign(overlap, least=_LEAST_OVERLAP))
        proposals = []
        for index, track in enumerate(self._tracks):
            matched = partner.get(index)
            if matched is not None:
                track.unconfirmed = 0
            elif any(_shows(view, expected[index]) for view in views):
                track.unconfirmed += 1
            box, detection = expected[index], None
            region: Region | None = track.region_at(at_ns)
            if matched is not None:
                detection = found[matched]
                if not track.visible or overlap[index, matched] < _DRIFTED_OVERLAP:
                    box, region = detection.box_px, None
            if _is_inside(box, frame_size_px):
                proposals.append(
                    Proposal(box_px=box, region=region, track=track, detection=detection)
                )
        taken = set(partner.values())
        proposals.extend(
            Proposal(box_px=detection.box_px, region=None, track=None, detection=detection)
            for index, detection in enumerate(found)
            if index not in taken
        )
        return proposals[: self._settings.max_people]

    def update(
        self, at_ns: int, proposals: Sequence[Proposal], poses: Sequence[RelativePose]
    ) -> list[Track]:
        """Take in what was seen in the proposed boxes; return whom to report, by number."""
        sightings = self._fold(proposals, poses)
        likeness, own = self._likeness(sightings, at_ns)
        pairs = assign(
            np.where(likeness >= _LEAST_LIKENESS, likeness + own, 0.0), least=_LEAST_LIKENESS
        )
        for track in self._tracks:
            track.visible = False
        for row, column in pairs:
            self._see(self._tracks[row], sightings[column], at_ns)
        assigned = {column for _, column in pairs}
        for column, sighting in enumerate(sightings):
            if column not in assigned and sighting.detection is not None:
                self._meet(sighting, at_ns)
        self._part(sightings, at_ns)
        reported = [track for track in self._tracks if track.number is not None]
        return sorted(reported, key=lambda track: track.number or 0)

    def _fold(
        self, proposals: Sequence[Proposal], poses: Sequence[RelativePose]
    ) -> list[_Sighting]:
        """Drop what is no person, and make one sighting of several looks at the same one."""
        settings = self._settings
        looks = [
            (pose, proposal)
            for pose, proposal in zip(poses, proposals, strict=True)
            if pose.presence >= settings.presence_min
            and np.count_nonzero(pose.scores >= settings.joint_score_min) >= FEWEST_JOINTS
        ]
        if not looks:
            return []
        looks.sort(key=lambda look: -quality(look[0]))
        joints_px = np.stack([pose.joints_px for pose, _ in looks])
        scores = np.stack([pose.scores for pose, _ in looks])
        tolerance = np.full(len(looks), _DOUBLE_TOLERANCE)
        alike = pose_likeness(joints_px, joints_px, scores, scores, tolerance=tolerance)
        sightings: dict[int, _Sighting] = {}
        for index, (pose, proposal) in enumerate(looks):
            first = next((known for known in sightings if alike[known, index] > _SAME_PERSON), None)
            if first is None:
                sightings[index] = _Sighting(pose=pose, proposals=[proposal])
            else:
                sightings[first].proposals.append(proposal)
        return list(sightings.values())

    def _likeness(
        self, sightings: Sequence[_Sighting], at_ns: int
    ) -> tuple[Float64[np.ndarray, "tracks sightings"], Float64[np.ndarray, "tracks sightings"]]:
        """How well each sighting fits where each track should be by now, and what habit adds."""
        if not self._tracks or not sightings:
            nothing = np.zeros((len(self._tracks), len(sightings)))
            return nothing, nothing
        ages_s = np.array([seconds(track.seen_ns, at_ns) for track in self._tracks])
        likeness = pose_likeness(
            np.stack([track.joints_at(at_ns) for track in self._tracks]),
            np.stack([sighting.pose.joints_px for sighting in sightings]),
            np.stack([track.pose.scores for track in self._tracks]),
            np.stack([sighting.pose.scores for sighting in sightings]),
            tolerance=_STILL_TOLERANCE + _RESTLESS_TOLERANCE * ages_s,
        )
        own = np.array(
            [
                [
                    _OWN_CROP * any(proposal.track is track for proposal in sighting.proposals)
                    for sighting in sightings
                ]
                for track in self._tracks
            ]
        )
        return likeness, own

    def _see(self, track: Track, sighting: _Sighting, at_ns: int) -> None:
        """Move a track to where its person was seen."""
        pose = sighting.pose
        elapsed_s = seconds(track.seen_ns, at_ns)
        if elapsed_s > 0.0:
            trust = track.pose.scores * pose.scores
            step = (pose.joints_px - track.pose.joints_px).astype(np.float64)
            velocity = (trust @ step) / max(float(trust.sum()), 1e-6) / elapsed_s
            share = 1.0 - math.exp(-elapsed_s / _VELOCITY_SETTLES_S)
            track.velocity_px_s = track.velocity_px_s + share * (velocity - track.velocity_px_s)
        track.pose = pose
        track.box_px = box_of(pose, self._settings.joint_score_min)
        track.appearance = blended(track.appearance, pose.appearance, _APPEARANCE_SHARE)
        track.seen_ns = at_ns
        track.visible = True
        track.sightings += 1
        if track.number is None and track.sightings >= self._settings.confirm_after:
            track.number = self._new_number()

    def _meet(self, sighting: _Sighting, at_ns: int) -> None:
        """Welcome who fits no track: one who jumped, one who comes back, or a stranger."""
        box = box_of(sighting.pose, self._settings.joint_score_min)
        looks = sighting.pose.appearance
        missing = [track for track in self._tracks if not track.visible]
        near = [
            nearness(track.departure(), box, looks, at_ns, reach=self._settings.reach)
            for track in missing
        ]
        if near and min(near) < 1.0:
            self._see(missing[int(np.argmin(near))], sighting, at_ns)
            return
        if len(self._tracks) >= self._settings.max_people:
            return
        number = self._memory.recall(box, looks, at_ns)
        detection = sighting.detection
        if (
            number is None
            and detection is not None
            and detection.score >= self._settings.sure_detection
            and sighting.pose.presence >= self._settings.sure_presence
        ):
            number = self._new_number()
        self._tracks.append(
            Track(number=number, pose=sighting.pose, box_px=box, seen_ns=at_ns, appearance=looks)
        )

    def _part(self, sightings: Sequence[_Sighting], at_ns: int) -> None:
        """Let go of tracks that have no person of their own any more."""
        settings = self._settings
        kept = []
        for track in self._tracks:
            if track.visible:
                gone = (
                    track.unconfirmed >= (1 if track.number is None else settings.doubt_after)
                    and quality(track.pose) < _DOUBTFUL_QUALITY
                )
            else:
                gone = (
                    track.number is None
                    or seconds(track.seen_ns, at_ns) > settings.stale_s
                    or self._is_double(track, sightings, at_ns)
                )
            if not gone:
                kept.append(track)
            elif track.number is not None:
                self._memory.keep(track.departure())
        self._tracks = kept
        self._memory.forget(at_ns)

    def _is_double(self, track: Track, sightings: Sequence[_Sighting], at_ns: int) -> bool:
        """Tell whether a track without a sighting of its own sits on somebody else's person."""
        return bool(sightings) and bool(
            pose_likeness(
                track.joints_at(at_ns)[None],
                np.stack([sighting.pose.joints_px for sighting in sightings]),
                track.pose.scores[None],
                np.stack([sighting.pose.scores for sighting in sightings]),
                tolerance=np.array([_DOUBLE_TOLERANCE]),
            ).max()
            > _SAME_PERSON
        )

    def _new_number(self) -> int:
        number = self._next_number
        self._next_number += 1
        return number


def _boxes(boxes: Sequence[Float32[np.ndarray, "4"]]) -> Float32[np.ndarray, "boxes 4"]:
    return np.array(boxes, np.float32).reshape(-1, 4)


def _shows(view: View, box_px: Float32[np.ndarray, "4"]) -> bool:
    """Tell whether the detector would have seen the middle of a box in this view."""
    middle = (box_px[:2] + box_px[2:]) / 2.0
    return bool(((middle >= view[:2]) & (middle < view[2:])).all())


def _is_inside(box_px: Float32[np.ndarray, "4"], frame_size_px: tuple[int, int]) -> bool:
    """Tell whether a fifth of the box is in the frame and large enough to show a person."""
    limit = np.array(frame_size_px, np.float32)
    sides = np.clip(box_px[2:], 0.0, limit) - np.clip(box_px[:2], 0.0, limit)
    whole = float(np.prod(box_px[2:] - box_px[:2]))
    return float(sides.max()) >= 8.0 and float(np.prod(sides)) >= 0.2 * whole  # noqa: PLR2004 stated above
