"""Who is followed, and what one frame shows of them.

In: the poses that the network found in the proposed regions.  Out: sightings, one for each person
in the frame, and how well each of them fits everybody who is followed.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from jaxtyping import Float32, Float64

from edge_pose.appearance import Appearance, blended
from edge_pose.likeness import FEWEST_JOINTS, best_seen, box_of, pose_likeness, quality
from edge_pose.memory import LONGEST_FORECAST_S, Departure, leaves, seconds
from edge_pose.region import Region
from edge_pose.types import Detection, RelativePose

LEAST_LIKENESS: Final = 0.1
"""Less alike than this, a sighting is not of that track."""
GOOD_QUALITY: Final = 0.65
"""From here on a pose needs nobody to look again whether somebody is there."""
_SAME_PERSON: Final = 0.5
"""Likeness above which two poses of one frame are one person: about 6 cm apart in every joint."""
_DOUBLE_TOLERANCE: Final = 0.1
"""Parts of the half body length by which the joints of one person differ between two crops."""
_STILL_TOLERANCE: Final = 0.2
"""The same from one frame to the next, for somebody who keeps their velocity."""
_RESTLESS_TOLERANCE: Final = 1.0
"""What each second adds to it."""
_GROWS: Final = 1.5
"""As many times as large, or as small, a body may seem from one picture to the next."""
_GROWS_EACH_S: Final = 2.0
"""What each second adds to it."""
_OWN_CROP: Final = 0.1
"""Added to the likeness when the pose came from the track's own crop: habit decides what
likeness cannot.
"""
_REPORTED: Final = 0.3
"""Added to that for whoever was reported: a double of theirs of which nobody heard does not take
over.
"""
_VELOCITY_SETTLES_S: Final = 0.15
_JUDGED_BY: Final = 10
"""So many sightings say what somebody's poses are worth."""
_APPEARANCE_SHARE: Final = 0.1
"""Of what a sighting shows, that enters what is known of a person's looks."""


@dataclass(slots=True, kw_only=True, eq=False)
class Track:
    """One person being followed."""

    number: int | None
    """None until confirmed."""
    pose: RelativePose
    box_px: Float32[np.ndarray, "4"]
    seen_ns: int
    entered_px: Float32[np.ndarray, "4"]
    """The box in which the person appeared."""
    entered_ns: int
    detected_px: Float32[np.ndarray, "4"]
    """What the detector gave for it."""
    detection_score: float
    """The best it was ever detected with."""
    is_sure: bool
    """Somebody beyond doubt from the first sight on."""
    quality: float
    """Mean of what the poses were worth, the last ones."""
    best_seen: float
    """Mean of what their best joints were worth."""
    velocity_px_s: Float64[np.ndarray, "2"] = field(default_factory=lambda: np.zeros(2))
    appearance: Appearance | None = None
    sightings: int = 1
    detections: int = 1
    """Frames in which the detector saw them."""
    unconfirmed: int = 0
    """Runs of the detector in a row that did not see this person."""
    visible: bool = True
    """Seen in the newest frame, or waiting for a turn."""
    waits: bool = False
    """Not looked at in the newest frame, because others had their turn."""

    def see(self, pose: RelativePose, at_ns: int, *, joint_score_min: float) -> None:
        """Move to where the person was seen."""
        elapsed_s = seconds(self.seen_ns, at_ns)
        if elapsed_s > 0.0:
            trust = self.pose.scores * pose.scores
            step = (pose.joints_px - self.pose.joints_px).astype(np.float64)
            velocity = (trust @ step) / max(float(trust.sum()), 1e-6) / elapsed_s
            share = 1.0 - math.exp(-elapsed_s / _VELOCITY_SETTLES_S)
            self.velocity_px_s = self.velocity_px_s + share * (velocity - self.velocity_px_s)
        self.pose = pose
        self.box_px = box_of(pose, joint_score_min)
        self.appearance = blended(self.appearance, pose.appearance, _APPEARANCE_SHARE)
        self.seen_ns = at_ns
        self.visible = True
        self.sightings += 1
        share = 1 / min(self.sightings, _JUDGED_BY)
        self.quality += share * (quality(pose) - self.quality)
        self.best_seen += share * (best_seen(pose) - self.best_seen)

    def may_be(self, pose: RelativePose, at_ns: int) -> bool:
        """Tell whether a body of this one's size may look so large by now.

        Who is taken for a hand of theirs shrinks to a quarter within a moment.
        """
        most = _GROWS + _GROWS_EACH_S * seconds(self.seen_ns, at_ns)
        return 1 / most <= pose.region.side_px / self.pose.region.side_px <= most

    @property
    def evidence(self) -> float:
        """What speaks for somebody being there: what both networks think of it."""
        return self.detection_score * self.best_seen

    @property
    def is_well_seen(self) -> bool:
        """Whether the last pose leaves no doubt, whatever part of them the detector boxes."""
        return self.visible and quality(self.pose) >= GOOD_QUALITY

    def shift_px(self, at_ns: int) -> Float64[np.ndarray, "2"]:
        """How far the person has moved since last seen, going by their velocity."""
        return self.velocity_px_s * min(seconds(self.seen_ns, at_ns), LONGEST_FORECAST_S)

    def box_at(self, at_ns: int) -> Float32[np.ndarray, "4"]:
        """Where the box is by now."""
        return (self.box_px + np.tile(self.shift_px(at_ns), 2)).astype(np.float32)

    def departure(self, frame_size_px: tuple[int, int]) -> Departure:
        """Say what is to be remembered of this person; `frame_size_px` is width, height."""
        return Departure(
            number=self.number,
            box_px=self.box_px,
            velocity_px_s=self.velocity_px_s,
            appearance=self.appearance,
            left_ns=self.seen_ns,
            over_rim=leaves(self.box_px, self.velocity_px_s, frame_size_px),
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
    refused_before: bool = False
    """Whether nobody was seen in a box like this a few seconds ago."""
    drifted: bool = False
    """Whether the box is not where the region is: one of them shows somebody else, or a part."""

    @property
    def detection_score(self) -> float:
        """How sure the detector is of somebody; 0 where it has not said."""
        return 0.0 if self.detection is None else self.detection.score

    def is_of_somebody_known(self, convincing_detection: float) -> bool:
        """Tell whether this is about somebody of whom the detector was once convinced."""
        track = self.track
        return (
            track is not None
            and track.number is not None
            and track.detection_score >= convincing_detection
        )


@dataclass(slots=True, kw_only=True)
class Sighting:
    """One person in one frame: the best pose, and every proposal that led to this person."""

    pose: RelativePose
    proposals: list[Proposal]

    @property
    def detection(self) -> Detection | None:
        """The surest box that led here, if any did."""
        found = [proposal.detection for proposal in self.proposals if proposal.detection]
        return max(found, key=lambda detection: detection.score, default=None)


def fold(
    proposals: Sequence[Proposal],
    poses: Sequence[RelativePose],
    *,
    presence_min: float,
    joint_score_min: float,
    convincing_detection: float,
) -> list[Sighting]:
    """Drop what is no person, and make one sighting of several looks at the same one.

    Of somebody who is followed, and of whom the detector was convinced, no joint need be sure.
    """
    looks = [
        (pose, proposal)
        for pose, proposal in zip(poses, proposals, strict=True)
        if pose.presence >= presence_min
        and (
            np.count_nonzero(pose.scores >= joint_score_min) >= FEWEST_JOINTS
            or proposal.is_of_somebody_known(convincing_detection)
        )
    ]
    if not looks:
        return []
    looks.sort(key=lambda look: -quality(look[0]))
    joints_px = np.stack([pose.joints_px for pose, _ in looks])
    scores = np.stack([pose.scores for pose, _ in looks])
    tolerance = np.full(len(looks), _DOUBLE_TOLERANCE)
    alike = pose_likeness(joints_px, joints_px, scores, scores, tolerance=tolerance)
    sightings: dict[int, Sighting] = {}
    for index, (pose, proposal) in enumerate(looks):
        first = next((known for known in sightings if alike[known, index] > _SAME_PERSON), None)
        if first is None:
            sightings[index] = Sighting(pose=pose, proposals=[proposal])
        else:
            sightings[first].proposals.append(proposal)
    return list(sightings.values())


def fit(
    tracks: Sequence[Track], sightings: Sequence[Sighting], at_ns: int
) -> Float64[np.ndarray, "tracks sightings"]:
    """How well each sighting fits where each track should be by now; 0 where it does not.

    What comes from a track's own crop fits it a little better, by habit, and better still whoever
    was reported.
    """
    if not tracks or not sightings:
        return np.zeros((len(tracks), len(sightings)))
    ages_s = np.array([seconds(track.seen_ns, at_ns) for track in tracks])
    likeness = pose_likeness(
        np.stack([track.joints_at(at_ns) for track in tracks]),
        np.stack([sighting.pose.joints_px for sighting in sightings]),
        np.stack([track.pose.scores for track in tracks]),
        np.stack([sighting.pose.scores for sighting in sightings]),
        tolerance=_STILL_TOLERANCE + _RESTLESS_TOLERANCE * ages_s,
    )
    own = np.array(
        [
            [
                any(proposal.track is track for proposal in sighting.proposals)
                for sighting in sightings
            ]
            for track in tracks
        ]
    )
    possible = np.array(
        [[track.may_be(sighting.pose, at_ns) for sighting in sightings] for track in tracks]
    )
    reported = np.array([[track.number is not None] for track in tracks])
    habit = own * (_OWN_CROP + _REPORTED * reported)
    return np.where(possible & (likeness >= LEAST_LIKENESS), likeness + habit, 0.0)


def is_double(track: Track, sightings: Sequence[Sighting], at_ns: int) -> bool:
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
