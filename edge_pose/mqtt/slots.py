"""Low numbers for people: ids come in, a slot of each comes out, kept while one is seen."""

from collections.abc import Iterable, Mapping


class Slots:
    """Gives each person the lowest number that is free."""

    def __init__(self) -> None:
        self._slots: dict[int, int] = {}

    def see(self, ids: Iterable[int]) -> Mapping[int, int]:
        """Take in who is there now; give the slot of each."""
        present = list(ids)
        self._slots = {id_: slot for id_, slot in self._slots.items() if id_ in present}
        for id_ in present:
            if id_ not in self._slots:
                taken = self._slots.values()
                self._slots[id_] = next(n for n in range(len(taken) + 1) if n not in taken)
        return self._slots
