"""Places for people: whoever comes gets the lowest free number and keeps it while they are seen."""

from collections.abc import Mapping, Sequence


def assign_slots(before: Mapping[int, int], present: Sequence[int]) -> dict[int, int]:
    """Give the slot of each person present, by track; who is gone frees theirs first."""
    slots = {track: slot for track, slot in before.items() if track in present}
    for track in present:
        if track not in slots:
            taken = slots.values()
            slots[track] = next(n for n in range(len(taken) + 1) if n not in taken)
    return slots
