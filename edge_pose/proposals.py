"""Where to look in a frame: at those followed whose turn it is, and at whom the detector found.

In: tracks, what the detector found, and what was refused lately.  Out: proposals, which the pose
network then looks at; each track is told whether the detector saw it, and whether it has to wait.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from jaxtyping import Float32

from edge_pose.assign import assign
from edge_pose.boxes import clipped, contains_middle, inside_share, is_inside, overlaps
from edge_pose.doubt import COLLAPSED, DRIFTED_OVERLAP, PART_INSIDE
from edge_pose.likeness import quality
from edge_pose.refusals import (
    LONGEST_QUIET_NS,
    QUIET_WHEN_EMPTY_NS,
    QUIET_WHEN_MISSED_NS,
    Refusals,
)
from edge_pose.sighting import Proposal, Track
from edge_pose.sweep import View
from edge_pose.types import Detection

_LEAST_OVERLAP: Final = 0.1


def in_turn(
    tracks: Sequence[Track], at_ns: int, frame_size_px: tuple[int, int], *, most: int
) -> list[Track]:
    """Choose whom of those in sight to look at now: whoever has waited longest.

    Args:
        tracks: everybody who is followed.
        at_ns: when the frame was captured.
        frame_size_px: width, height.
        most: how many are looked at in one frame.

    """
    in_sight = [
        track for track in tracks if track.visible and is_inside(track.box_at(at_ns), frame_size_px)
    ]
    return sorted(in_sight, key=lambda track: track.seen_ns)[:most]


def followed(
    tracks: Sequence[Track],
    found: Sequence[Detection],
    at_ns: int,
    *,
    turn: Sequence[Track],
    frame_size_px: tuple[int, int],
    views: Sequence[View],
    refusals: Refusals,
) -> tuple[list[Proposal], set[int]]:
    """Propose to look at those who are followed.

    Args:
        tracks: everybody who is followed; notes on them are brought up to date.
        found: what the detector found in this frame.
        at_ns: when the frame was captured.
        turn: whose turn it is, of those in sight.
        frame_size_px: width, height.
        views: the parts of the frame in which the detector looked; none where it did not.
        refusals: boxes in which nobody was seen lately.

    Returns:
        Proposals in the order of `tracks`, and which of `found` show somebody who is followed.

    """
    expected = _stacked([track.box_at(at_ns) for track in tracks])
    boxes = _stacked([detection.box_px for detection in found])
    # Beyond the rim of the frame the detector sees nothing, and a followed body goes on.
    overlap = overlaps(clipped(expected, frame_size_px), boxes)
    partner = {
        index: matched
        for index, matched in assign(overlap, least=_LEAST_OVERLAP)
        if overlap[index, matched] >= DRIFTED_OVERLAP
        or not tracks[index].is_well_seen
        or inside_share(boxes[matched], expected[index]) >= PART_INSIDE
    }
    proposals = []
    for index, track in enumerate(tracks):
        matched = partner.get(index)
        if matched is None:
            track.unconfirmed += any(contains_middle(view, expected[index]) for view in views)
            look = Proposal(
                box_px=expected[index], region=track.region_at(at_ns), track=track, detection=None
            )
        else:
            track.unconfirmed = 0
            apart = bool(overlap[index, matched] < DRIFTED_OVERLAP)
            look = _detected(track, expected[index], found[matched], at_ns, apart=apart)
        inside = is_inside(look.box_px, frame_size_px)
        track.waits = inside and track.visible and look.region is not None and track not in turn
        hopeless = not track.visible and refusals.cover(
            look.box_px, at_ns, longest_ns=QUIET_WHEN_MISSED_NS
        )
        if inside and not track.waits and not hopeless:
            proposals.append(look)
    return proposals, set(partner.values())


def _detected(
    track: Track,
    expected_px: Float32[np.ndarray, "4"],
    detection: Detection,
    at_ns: int,
    *,
    apart: bool,
) -> Proposal:
    """Propose to look at somebody followed whom the detector found, perhaps `apart` from there."""
    lost = not track.visible or quality(track.pose) < COLLAPSED
    drifted = apart and not lost and not track.is_well_seen
    return Proposal(
        box_px=detection.box_px if lost or drifted else expected_px,
        region=None if lost else track.region_at(at_ns),
        track=track,
        detection=detection,
        drifted=drifted,
    )


def strangers(
    found: Sequence[Detection],
    at_ns: int,
    *,
    refusals: Refusals,
    convincing_detection: float,
    anybody: bool,
) -> list[Proposal]:
    """Propose to look at whom the detector found and nobody follows, but for those just refused.

    Args:
        found: what the detector found, less those who are followed.
        at_ns: when the frame was captured.
        refusals: boxes in which nobody was seen lately.
        convincing_detection: score of a body beyond doubt, which is looked at again soon.
        anybody: somebody is followed, so there is less time to look elsewhere.

    """
    longest_ns = LONGEST_QUIET_NS if anybody else QUIET_WHEN_EMPTY_NS
    return [
        Proposal(
            box_px=detection.box_px,
            region=None,
            track=None,
            detection=detection,
            refused_before=refusals.remember(detection.box_px, at_ns),
        )
        for detection in found
        if not refusals.cover(
            detection.box_px,
            at_ns,
            longest_ns=QUIET_WHEN_MISSED_NS
            if detection.score >= convincing_detection
            else longest_ns,
        )
    ]


def _stacked(boxes: Sequence[Float32[np.ndarray, "4"]]) -> Float32[np.ndarray, "boxes 4"]:
    return np.array(boxes, np.float32).reshape(-1, 4)
