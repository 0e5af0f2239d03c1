"""Who is who from frame to frame: stable numbers, and regions that spare the detector.

In: detections (on some frames) and the poses found in the proposed regions. Out: where to look,
then the people, each with a number that stays through crossing, turning, occlusion and a short
absence.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float32

from edge_pose.assign import assign
from edge_pose.doubt import (
    fell_apart,
    is_confirmed,
    is_given_up,
    is_nobody,
    is_part_of_somebody,
)
from edge_pose.likeness import best_seen, box_of, quality
from edge_pose.memory import Memory, nearness, seconds
from edge_pose.proposals import followed, in_turn, strangers
from edge_pose.refusals import Refusals
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
from edge_pose.track_settings import TrackSettings
from edge_pose.types import Detection, RelativePose


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
        found = list(detections or ())
        looks, known = followed(
            self._tracks,
            found,
            at_ns,
            turn=self._in_turn(at_ns, frame_size_px),
            frame_size_px=frame_size_px,
            views=views,
            refusals=self._refusals,
        )
        unknown = [detection for index, detection in enumerate(found) if index not in known]
        looks += strangers(
            unknown,
            at_ns,
            refusals=self._refusals,
            convincing_detection=self._settings.convincing_detection,
            anybody=bool(self._tracks),
        )
        return looks[: self._settings.max_people]

    def _in_turn(self, at_ns: int, frame_size_px: tuple[int, int]) -> list[Track]:
        most = self._settings.looks_per_frame
        return in_turn(self._tracks, at_ns, frame_size_px, most=most)

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
            track.detections += 1
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
        if track.number is None and is_confirmed(track, confirm_after=settings.confirm_after):
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
                gone = is_given_up(track, doubt_after=settings.doubt_after)
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
