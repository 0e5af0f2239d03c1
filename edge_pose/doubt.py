"""Is that anybody at all: what speaks against a track or a sighting of it.

In: tracks, and sightings as `edge_pose/sighting.py` makes them.  Out: yes or no; and of several
looks about a box the one that shows whom the box shows.

Both networks take a chair, a jacket or a hand held out for somebody now and then, but not for long
and not both of them; their poses are worth little.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from jaxtyping import Float32

from edge_pose.boxes import inside_share, overlaps
from edge_pose.likeness import best_seen, box_of, quality
from edge_pose.sighting import GOOD_QUALITY, Proposal, Sighting, Track
from edge_pose.types import RelativePose

_DOUBTFUL_QUALITY: Final = 0.5
"""Below it, whoever the detector misses again and again is let go."""
COLLAPSED: Final = 0.3
"""Of a pose's quality, or of a track's: what is left when the network looks at a wall instead."""
HOPELESS: Final = 0.05
"""Of a first look's quality, where nobody was seen a few seconds ago: not worth a second look."""
DRIFTED_OVERLAP: Final = 0.4
"""What looks share less with the detector's box have left whom it is about."""
_GOES_ON: Final = 0.7
"""Of a track's quality, with which somebody is seen where they were expected."""
_LEFT_OF_EVIDENCE: Final = 0.7
"""Of the evidence that gives a number: with less it is taken away again."""
_PREFERRED: Final = 0.7
"""Of how well the best look shows whom a box shows, that the last look must show."""
PART_INSIDE: Final = 0.7
"""Of a box, that lies inside another."""


def fell_apart(track: Track, sighting: Sighting, *, joint_score_min: float) -> bool:
    """Tell whether a pose fell apart where the detector sees nobody: its person was lost."""
    if quality(sighting.pose) >= COLLAPSED * track.quality:
        return False
    if sighting.detection is None:
        return True
    return _shared(sighting.pose, sighting.detection.box_px, joint_score_min) < DRIFTED_OVERLAP


def goes_on(proposal: Proposal, pose: RelativePose) -> bool:
    """Tell whether somebody is seen where they were expected, as well as before."""
    track = proposal.track
    return track is not None and quality(pose) >= _GOES_ON * track.quality


def shown_in(pose: RelativePose, box_px: Float32[np.ndarray, "4"], joint_score_min: float) -> float:
    """Say how far a pose is of whom a box shows: how well it is seen, times what they share."""
    return best_seen(pose) * _shared(pose, box_px, joint_score_min)


def best_look(
    looks: Sequence[RelativePose],
    box_px: Float32[np.ndarray, "4"],
    *,
    detection_score: float,
    evidence_min: float,
    joint_score_min: float,
) -> RelativePose:
    """Choose among looks about a box, first to last; the last is placed best, so it is preferred.

    In a crowd a look where the body seems to be may slip to a neighbour; then an earlier one that
    shows whom the box shows is better.  Where the last finds nobody there is nobody: first looks
    believe in chairs.
    """
    last = looks[-1]
    if detection_score * best_seen(last) < evidence_min:
        return last
    shown = [shown_in(pose, box_px, joint_score_min) for pose in looks]
    return last if shown[-1] >= _PREFERRED * max(shown) else looks[int(np.argmax(shown))]


def is_part_of_somebody(track: Track, tracks: Sequence[Track]) -> bool:
    """Tell whether a track lies on somebody of whom more is seen: a hand held out, a shirt."""
    return track.quality < GOOD_QUALITY and any(
        inside_share(track.box_px, other.box_px) >= PART_INSIDE
        for other in tracks
        if other is not track and other.number is not None and other.quality > track.quality
    )


def is_confirmed(track: Track, *, confirm_after: int) -> bool:
    """Tell whether somebody may be reported: at once if beyond doubt, else when seen often enough.

    Where the pose leaves doubt the detector must have seen them twice: the rim of a trunk beside
    somebody is a body to it in one frame, and nothing in the next.
    """
    return track.is_sure or (
        track.sightings >= confirm_after and (track.quality >= GOOD_QUALITY or track.detections > 1)
    )


def is_given_up(track: Track, *, doubt_after: int) -> bool:
    """Tell whether the detector missed somebody whose pose is poor too often to wait any longer.

    Nobody waits for whom it saw only once, unless they were beyond doubt then.
    """
    waited_for = track.number is not None and (track.is_sure or track.detections > 1)
    return (
        track.unconfirmed >= (doubt_after if waited_for else 1)
        and quality(track.pose) < _DOUBTFUL_QUALITY
    )


def is_nobody(
    track: Track,
    tracks: Sequence[Track],
    *,
    evidence_min: float,
    confirm_after: int,
    convincing_detection: float,
) -> bool:
    """Tell whether a track was seen often enough without looking like anybody.

    Somebody who was reported may hide for a while, where the detector was convinced of them.
    """
    if track.number is None:
        return track.sightings >= confirm_after and (
            track.evidence < evidence_min or is_part_of_somebody(track, tracks)
        )
    if track.detection_score >= convincing_detection:
        return False
    return track.evidence < _LEFT_OF_EVIDENCE * evidence_min or (
        track.quality < _DOUBTFUL_QUALITY and is_part_of_somebody(track, tracks)
    )


def _shared(pose: RelativePose, box_px: Float32[np.ndarray, "4"], joint_score_min: float) -> float:
    """Say how much of both the box of a pose and another box have in common."""
    return float(overlaps(box_of(pose, joint_score_min)[None], box_px[None])[0, 0])
