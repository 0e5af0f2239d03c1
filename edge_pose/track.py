"""Who is who from frame to frame: stable numbers, and regions that spare the detector.

In: detections (on some frames) and the poses found in the proposed regions. Out: where to look,
then the people, each with a number that stays through crossing, turning, occlusion and a short
absence.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from jaxtyping import Float32

from edge_pose.assign import assign
from edge_pose.boxes import clipped, contains_middle, inside_share, is_inside, overlaps
from edge_pose.doubt import (
    COLLAPSED,
    DOUBTFUL_QUALITY,
    DRIFTED_OVERLAP,
    PART_INSIDE,
    fell_apart,
    is_nobody,
    is_part_of_somebody,
)
from edge_pose.likeness import best_seen, box_of, quality
from edge_pose.memory import Memory, nearness, seconds
from edge_pose.refusals import (
    LONGEST_QUIET_NS,
    QUIET_WHEN_EMPTY_NS,
    QUIET_WHEN_MISSED_NS,
    Refusals,
)
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


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackSettings:
    """How patient the tracker is."""

    max_people: int = 16
    looks_per_frame: int = 4
    """How many of those in sight are looked at in one frame; more take turns."""
    look_round_s: float = 1.0
    """Between two runs of the detector while everybody is well in sight and nothing else changes.
    """
    look_closer_s: float = 0.2
    """The same where something changed where nobody is known to be, which may be a newcomer, or
    where a pose is poor, which may be nobody any more.
    """
    search_s: float = 0.1
    """The same while somebody is missing, or nobody is there, when a change is looked into sooner.
    """
    presence_min: float = 0.5
    joint_score_min: float = 0.3
    sure_detection: float = 0.6
    sure_presence: float = 0.8
    """Someone whom detector and pose network both believe this much is reported at once."""
    confirm_after: int = 3
    """Sightings after which anyone else is reported."""
    evidence_min: float = 0.25
    """Score of the detection times that of the joints seen best, of whoever is reported: what a
    chair is taken for has less.
    """
    convincing_detection: float = 0.75
    """So sure of a body, the detector is believed of somebody who is followed though the pose is
    worth nothing, and is followed up soon where nobody was seen.
    """
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
        self._detected_ns: int | None = None
        self._at_ns = 0
        self._frame_size_px = (0, 0)

    def detection_due(self, at_ns: int, *, changed: Callable[[], bool]) -> bool:
        """Whether this frame needs the detector: on schedule, or when anybody is missing.

        `changed` tells, when it matters, whether something did where nobody is known to be.  Time
        that runs backwards means that the source started again: then everybody is missing.
        """
        if self._detected_ns is None or at_ns < self._at_ns:
            return True
        settings = self._settings
        since_s = seconds(self._detected_ns, at_ns)
        if not self._tracks:
            return since_s >= settings.search_s or changed()
        if any(not track.visible for track in self._tracks):
            return since_s >= settings.search_s
        if since_s < settings.look_closer_s:
            return False
        poor = any(not track.is_well_seen for track in self._tracks)
        return since_s >= settings.look_round_s or poor or changed()

    def boxes_at(self, at_ns: int) -> list[Float32[np.ndarray, "4"]]:
        """Say where everybody should be by now."""
        return [track.box_at(at_ns) for track in self._tracks]

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
        self._detected_ns = None

    def expect(self, at_ns: int, *, frame_size_px: tuple[int, int]) -> list[Region]:
        """Say where everybody in sight should be by now: to be looked at while the detector works.

        What `propose` says afterwards is the same, unless the detector knows better.
        """
        if at_ns < self._at_ns:
            return []
        return [track.region_at(at_ns) for track in self._in_turn(at_ns, frame_size_px)]

    def _in_turn(self, at_ns: int, frame_size_px: tuple[int, int]) -> list[Track]:
        """Choose whom of those in sight to look at now: whoever has waited longest."""
        in_sight = [
            track
            for track in self._tracks
            if track.visible and is_inside(track.box_at(at_ns), frame_size_px)
        ]
        return sorted(in_sight, key=lambda track: track.seen_ns)[: self._settings.looks_per_frame]

    def propose(
        self,
        at_ns: int,
        detections: Sequence[Detection] | None,
        *,
        frame_size_px: tuple[int, int],
        views: Sequence[View],
    ) -> list[Proposal]:
        """Say where to look: at those followed whose turn it is, then at whom the detector found.

        `detections` is None on frames without the detector; `frame_size_px` is width, height;
        `views` are the parts of the frame in which the detector looked.
        """
        if at_ns < self._at_ns:
            self._tracks = []
            self._memory.clear()
            self._refusals.clear()
        self._at_ns, self._frame_size_px = at_ns, frame_size_px
        if detections is not None:
            self._detected_ns = at_ns
        expected = _boxes(self.boxes_at(at_ns))
        found = list(detections or ())
        boxes = _boxes([detection.box_px for detection in found])
        # Beyond the rim of the frame the detector sees nothing, and a followed body goes on.
        overlap = overlaps(clipped(expected, frame_size_px), boxes)
        partner = {
            index: matched
            for index, matched in assign(overlap, least=_LEAST_OVERLAP)
            if overlap[index, matched] >= DRIFTED_OVERLAP
            or not self._tracks[index].is_well_seen
            or inside_share(boxes[matched], expected[index]) >= PART_INSIDE
        }
        in_turn = self._in_turn(at_ns, frame_size_px)
        proposals = []
        for index, track in enumerate(self._tracks):
            matched = partner.get(index)
            if matched is not None:
                track.unconfirmed = 0
            elif any(contains_middle(view, expected[index]) for view in views):
                track.unconfirmed += 1
            box, detection, drifted = expected[index], None, False
            region: Region | None = track.region_at(at_ns)
            if matched is not None:
                detection = found[matched]
                lost = not track.visible or quality(track.pose) < COLLAPSED
                apart = bool(overlap[index, matched] < DRIFTED_OVERLAP)
                drifted = apart and not lost and not track.is_well_seen
                if lost:
                    region = None
                if lost or drifted:
                    box = detection.box_px
            hopeless = not track.visible and self._refusals.cover(
                box, at_ns, longest_ns=QUIET_WHEN_MISSED_NS
            )
            inside = is_inside(box, frame_size_px)
            track.waits = inside and track.visible and region is not None and track not in in_turn
            if inside and not track.waits and not hopeless:
                proposals.append(
                    Proposal(
                        box_px=box,
                        region=region,
                        track=track,
                        detection=detection,
                        drifted=drifted,
                    )
                )
        taken = set(partner.values())
        proposals.extend(
            Proposal(
                box_px=detection.box_px,
                region=None,
                track=None,
                detection=detection,
                refused_before=self._refusals.remember(detection.box_px, at_ns),
            )
            for index, detection in enumerate(found)
            if index not in taken and not self._was_refused(detection, at_ns)
        )
        return proposals[: self._settings.max_people]

    def _was_refused(self, detection: Detection, at_ns: int) -> bool:
        """Tell whether nobody was seen here lately; a body beyond doubt is looked at again soon."""
        if detection.score >= self._settings.convincing_detection:
            longest_ns = QUIET_WHEN_MISSED_NS
        else:
            longest_ns = LONGEST_QUIET_NS if self._tracks else QUIET_WHEN_EMPTY_NS
        return self._refusals.cover(detection.box_px, at_ns, longest_ns=longest_ns)

    def update(
        self, at_ns: int, proposals: Sequence[Proposal], poses: Sequence[RelativePose]
    ) -> list[Track]:
        """Take in what was seen in the proposed boxes; return whom to report, by number."""
        joint_score_min = self._settings.joint_score_min
        sightings = fold(
            proposals,
            poses,
            presence_min=self._settings.presence_min,
            joint_score_min=joint_score_min,
            convincing_detection=self._settings.convincing_detection,
        )
        seen = {id(proposal) for sighting in sightings for proposal in sighting.proposals}
        for proposal in proposals:
            if proposal.region is None and id(proposal) not in seen:
                self._refusals.add(proposal.box_px, at_ns)
        pairs = assign(fit(self._tracks, sightings, at_ns), least=LEAST_LIKENESS)
        for track in self._tracks:
            track.visible = track.waits
        fallen = {
            column
            for row, column in pairs
            if fell_apart(self._tracks[row], sightings[column], joint_score_min=joint_score_min)
        }
        for row, column in pairs:
            if column not in fallen:
                self._see(self._tracks[row], sightings[column], at_ns)
        assigned = {column for _, column in pairs}
        for column, sighting in enumerate(sightings):
            if column not in assigned and sighting.detection is not None:
                self._meet(sighting, at_ns)
        self._part([s for column, s in enumerate(sightings) if column not in fallen], at_ns)
        reported = [track for track in self._tracks if track.number is not None]
        return sorted(reported, key=lambda track: track.number or 0)

    def _see(self, track: Track, sighting: Sighting, at_ns: int) -> None:
        """Move a track to where its person was seen."""
        track.see(sighting.pose, at_ns, joint_score_min=self._settings.joint_score_min)
        if sighting.detection is not None:
            track.detection_score = max(track.detection_score, sighting.detection.score)
        self._name(track, at_ns)

    def _meet(self, sighting: Sighting, at_ns: int) -> None:
        """Welcome who fits no track: one who jumped, one who comes back, or a stranger."""
        settings = self._settings
        box = box_of(sighting.pose, settings.joint_score_min)
        looks = sighting.pose.appearance
        missing = [
            track
            for track in self._tracks
            if not track.visible and track.may_be(sighting.pose, at_ns)
        ]
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
        assert detection is not None
        track = Track(
            number=None,
            pose=sighting.pose,
            box_px=box,
            seen_ns=at_ns,
            entered_px=box,
            entered_ns=at_ns,
            detected_px=detection.box_px,
            detection_score=detection.score,
            is_sure=detection.score >= settings.sure_detection
            and sighting.pose.presence >= settings.sure_presence,
            quality=quality(sighting.pose),
            best_seen=best_seen(sighting.pose),
            appearance=looks,
        )
        self._tracks.append(track)
        self._name(track, at_ns)

    def _name(self, track: Track, at_ns: int) -> None:
        """Give a number to whoever has none, once it is clear whether they were here before.

        A number that was reported never changes, so it waits for the clothes where they decide.
        """
        settings = self._settings
        if track.number is not None or track.evidence < settings.evidence_min:
            return
        if is_part_of_somebody(track, self._tracks):
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
            if is_nobody(
                track,
                self._tracks,
                evidence_min=settings.evidence_min,
                confirm_after=settings.confirm_after,
                convincing_detection=settings.convincing_detection,
            ):
                self._refusals.add(track.detected_px, at_ns)
                gone = True
            elif track.visible:
                gone = (
                    track.unconfirmed >= (1 if track.number is None else settings.doubt_after)
                    and quality(track.pose) < DOUBTFUL_QUALITY
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
