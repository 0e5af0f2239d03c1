"""One stream of messages in, one queue per open page out; slow pages miss frames, never states."""

import json
import queue
import threading
from typing import Final

from edge_pose.mqtt import Link, Received

BACKLOG: Final = 32
"""Events that may wait for one page before frames are left out for it."""
LIVE: Final = ("pose", "stats")
"""Last levels of topics of which only the newest message matters."""

Queue = queue.SimpleQueue[str | None]


class Hub:
    """Hands every message to every page, and to a new page first what it has missed."""

    def __init__(self, broker_url: str, root: str) -> None:
        self._lock = threading.Lock()
        self._pages: set[Queue] = set()
        self._states: dict[str, str] = {}
        self._broker_url = broker_url
        self._root = root
        self._closed = False
        self.post(Link(up=False, reason="no answer yet"))

    def post(self, posted: Received | Link) -> None:
        """Pass on what came from the broker."""
        if isinstance(posted, Link):
            link = {"up": posted.up, "reason": posted.reason, "url": self._broker_url}
            self._hand_out("broker", _event("broker", link), live=False)
            return
        text = posted.payload.decode("utf-8", errors="replace")
        live = posted.topic.rpartition("/")[2] in LIVE
        path = posted.topic.removeprefix(f"{self._root}/")
        event = _event("message", {"path": path, "payload": text})
        self._hand_out(posted.topic, event, live=live)

    def join(self) -> Queue:
        """Open a queue for a page; None in it means that the hub has closed."""
        page: Queue = queue.SimpleQueue()
        with self._lock:
            for event in self._states.values():
                page.put(event)
            if self._closed:
                page.put(None)
            self._pages.add(page)
        return page

    def leave(self, page: Queue) -> None:
        """Forget a page."""
        with self._lock:
            self._pages.discard(page)

    def close(self) -> None:
        """Tell all pages that nothing more will come."""
        with self._lock:
            self._closed = True
            for page in self._pages:
                page.put(None)

    def _hand_out(self, topic: str, event: str, *, live: bool) -> None:
        with self._lock:
            if not live:
                self._states[topic] = event
            for page in self._pages:
                if not live or page.qsize() < BACKLOG:
                    page.put(event)


def _event(kind: str, content: object) -> str:
    return f"event: {kind}\ndata: {json.dumps(content)}\n\n"
