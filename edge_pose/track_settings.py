"""How patient the tracker is: whom it believes, whom it looks at, and for how long it waits.

In: what the operator configured.  Out: `TrackSettings`, the rest of which stays as it is here.
"""

from dataclasses import dataclass


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
    """Sightings after which anyone else is reported, well seen or detected twice."""
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
