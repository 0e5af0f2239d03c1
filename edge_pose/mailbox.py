"""A place for exactly one thing: the newest.  Late readers skip; skips are counted."""

import threading
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Mailbox(Generic[Item]):
    """One writer thread puts, one reader thread takes; nobody ever waits for the reader."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._item: Item | None = None
        self._skipped = 0
        self._closed = False

    @property
    def skipped(self) -> int:
        """How many items a newer one replaced before they were taken."""
        return self._skipped

    @property
    def drained(self) -> bool:
        """Tell whether the writer has closed and nothing is left to take."""
        with self._changed:
            return self._closed and self._item is None

    def put(self, item: Item) -> None:
        """Leave the newest item, replacing one that nobody took."""
        with self._changed:
            if self._item is not None:
                self._skipped += 1
            self._item = item
            self._changed.notify()

    def take(self, timeout_s: float) -> Item | None:
        """Take the newest item; wait up to `timeout_s` for one; None when there is none."""
        with self._changed:
            self._changed.wait_for(lambda: self._item is not None or self._closed, timeout_s)
            item, self._item = self._item, None
            return item

    def close(self) -> None:
        """Say that nothing more will come."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
