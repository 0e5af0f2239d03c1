"""Who is who from frame to frame: stable numbers, and regions that spare the detector.

In: detections (on some frames) and the poses found in the proposed regions. Out: where to look,
then the people, each with a number that stays through crossing, turning, occlusion and a short
absence.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from jaxtyping import Float32

from edge_pose.assign import assign
from edge_pose.boxes import contains_middle, is_inside, overlaps
from edge_pose.likeness import box_of, quality
from edge_pose.memory import Memory, nearness, seconds
from edge_pose.refusals import QUIET_WHEN_MISSED_NS, Refusals
from edge_pose.region import Region
from edge_pose.sighting import (
    LEAST_LIKENESS,
    Proposal,
    Sighting,
    Track,
    fit,
    fold,
    is_double,
)
from edge_pose.sweep import View
from edge_pose.types import Detection, RelativePose

_LEAST_OVERLAP: Final = 0.1
_DRIFTED_OVERLAP: Final = 0.4
_DOUBTFUL_QUALITY: Final = 0.5


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
    """Body lengths from there that count as near, and half as many more for each second out of
    sight, unless they walked out of the picture.
    """
    hold_s: float = 0.3
    """How long somebody who could be back waits for a number until their clothes can be seen."""


class Tracker:
    """Follows everybody in one camera's frames."""

    def __init__(self, settings: TrackSettings) -> None:
        """Start with nobody."""
        self._settings = settings
        self._tracks: list[Track] = []
        self._memory = Memory(remember_s=settings.remember_s, reach=settings.reach)
        self._refusals = Refusals()
        self._next_number = 1
        self._frames_undetected = 0
        self._at_ns = 0
        self._frame_size_px = (0, 0)

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

    def forget(self) -> None:
        """Let go of everybody; numbers go on, so that none means two people."""
        self._tracks = []
        self._memory.clear()

    def rescale(self, scale_x: float, scale_y: float) -> None:
        """Carry everybody over to a new frame size and look for them at once."""
        scale = np.array([scale_x, scale_y])
        wide = np.tile(scale, 2)
        for track in self._tracks:
            track.box_px = (track.box_px * wide).astype(np.float32)
            track.entered_px = (track.entered_px * wide).astype(np.float32)
            track.velocity_px_s = track.velocity_px_s * scale
            track.pose = replace(
                track.pose,
                joints_px=(track.pose.joints_px * scale).astype(np.float32),
                region=track.pose.region.scaled(scale),
            )
        self._memory.rescale(scale)
        self._refusals.clear()
        self._frames_undetected = self._settings.detect_every

    def expect(self, at_ns: int, *, frame_size_px: tuple[int, int]) -> list[Region]:
        """Say where everybody in sight should be by now: to be looked at while the detector works.

        What `propose` says afterwards is the same, unless the detector knows better.
        """
        if at_ns < self._at_ns:
            return []
        regions = [
            track.region_at(at_ns)
            for track in self._tracks
            if track.visible and is_inside(track.box_at(at_ns), frame_size_px)
        ]
        return regions[: self._settings.max_people]

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
            self._refusals.clear()
        self._at_ns, self._frame_size_px = at_ns, frame_size_px
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
            elif any(contains_middle(view, expected[index]) for view in views):
                track.unconfirmed += 1
            box, detection = expected[index], None
            region: Region | None = track.region_at(at_ns)
            if matched is not None:
                detection = found[matched]
                if not track.visible or overlap[index, matched] < _DRIFTED_OVERLAP:
                    box, region = detection.box_px, None
            hopeless = not track.visible and self._refusals.cover(
                box, at_ns, quiet_ns=QUIET_WHEN_MISSED_NS
            )
            if is_inside(box, frame_size_px) and not hopeless:
                proposals.append(
                    Proposal(box_px=box, region=region, track=track, detection=detection)
                )
        taken = set(partner.values())
        proposals.extend(
            Proposal(box_px=detection.box_px, region=None, track=None, detection=detection)
            for index, detection in enumerate(found)
            if index not in taken and not self._refusals.cover(detection.box_px, at_ns)
        )
        return proposals[: self._settings.max_people]

    def update(
        self, at_ns: int, proposals: Sequence[Proposal], poses: Sequence[RelativePose]
    ) -> list[Track]:
        """Take in what was seen in the proposed boxes; return whom to report, by number."""
        sightings = fold(
            proposals,
            poses,
            presence_min=self._settings.presence_min,
            joint_score_min=self._settings.joint_score_min,
        )
        seen = {id(proposal) for sighting in sightings for proposal in sighting.proposals}
        for proposal in proposals:
            if proposal.region is None and id(proposal) not in seen:
                self._refusals.add(proposal.box_px, at_ns)
        pairs = assign(fit(self._tracks, sightings, at_ns), least=LEAST_LIKENESS)
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

    def _see(self, track: Track, sighting: Sighting, at_ns: int) -> None:
        """Move a track to where its person was seen."""
        track.see(sighting.pose, at_ns, joint_score_min=self._settings.joint_score_min)
        self._name(track, at_ns)

    def _meet(self, sighting: Sighting, at_ns: int) -> None:
        """Welcome who fits no track: one who jumped, one who comes back, or a stranger."""
        settings = self._settings
        box = box_of(sighting.pose, settings.joint_score_min)
        looks = sighting.pose.appearance
        missing = [track for track in self._tracks if not track.visible]
        near = [
            nearness(track.departure(self._frame_size_px), box, looks, at_ns, reach=settings.reach)
            for track in missing
        ]
        if near and min(near) < 1.0:
            self._see(missing[int(np.argmin(near))], sighting, at_ns)
            return
        if len(self._tracks) >= settings.max_people:
            return
        detection = sighting.detection
        track = Track(
            number=None,
            pose=sighting.pose,
            box_px=box,
            seen_ns=at_ns,
            entered_px=box,
            entered_ns=at_ns,
            is_sure=detection is not None
            and detection.score >= settings.sure_detection
            and sighting.pose.presence >= settings.sure_presence,
            appearance=looks,
        )
        self._tracks.append(track)
        self._name(track, at_ns)

    def _name(self, track: Track, at_ns: int) -> None:
        """Give a number to whoever has none, once it is clear whether they were here before.

        A number that was reported never changes, so it waits for the clothes where they decide.
        """
        settings = self._settings
        if track.number is not None:
            return
        if (
            track.appearance is None
            and seconds(track.entered_ns, at_ns) < settings.hold_s
            and self._memory.depends_on_looks(track.entered_px, track.entered_ns)
        ):
            return
        track.number = self._memory.recall(track.entered_px, track.appearance, track.entered_ns)
        if track.number is None and (track.is_sure or track.sightings >= settings.confirm_after):
            track.number = self._next_number
            self._next_number += 1

    def _part(self, sightings: Sequence[Sighting], at_ns: int) -> None:
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
                    or is_double(track, sightings, at_ns)
                )
            if not gone:
                kept.append(track)
            elif track.number is not None:
                self._memory.keep(track.departure(self._frame_size_px))
        self._tracks = kept
        self._memory.forget(at_ns)


def _boxes(boxes: Sequence[Float32[np.ndarray, "4"]]) -> Float32[np.ndarray, "boxes 4"]:
    return np.array(boxes, np.float32).reshape(-1, 4)
