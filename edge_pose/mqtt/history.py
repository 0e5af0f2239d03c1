"""Sparkplug history: what a host could not hear waits on the disk and is told after the next birth.

The worker of the sink owns `History`; a thread of its own owns the spool, because a disk may be
slow, and hands moments to the worker, a handful at a time.  DDATA is QoS 0, so nobody acknowledges
it; instead a handful is followed by a fence, a packet that the broker has to answer.  It takes
packets in their order, so what was sent before the fence has arrived when the answer comes.
"""

import logging
import queue
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass
from typing import Final

from edge_pose.clock import NS_PER_S, monotonic_ns
from edge_pose.mqtt.client import Inbox, Stop
from edge_pose.sparkplug.history import Moment, Recorder, read_moment, write_moment
from edge_pose.sparkplug.node import Action, EdgeNode
from edge_pose.sparkplug.payload import Value
from edge_pose.spool import Counts, Spool, SpoolSettings

log = logging.getLogger(__name__)

HANDFUL: Final = 10
"""Moments told at once; live data wait for no more than these."""
PAUSE_NS: Final = NS_PER_S // 5
"""Between the answer to one handful and the next: at most 50 moments a second."""
TICK_S: Final = 0.2
FENCE_NS: Final = 5 * NS_PER_S
"""How often it is made sure that live data arrived."""
GOODBYE_S: Final = 4.0
LEAF: Final = "history"


@dataclass(frozen=True, slots=True, kw_only=True)
class HistorySettings:
    """How much history there is, and where it waits."""

    rate_hz: float
    spool: SpoolSettings


@dataclass(frozen=True, slots=True)
class Past:
    """Moments to be told now, by their rows, should the session still be the same."""

    session: object
    moments: Mapping[int, Moment]


@dataclass(frozen=True, slots=True)
class _Listening:
    """The host hears the camera in this session; in none it does not."""

    session: object | None


@dataclass(frozen=True, slots=True)
class _Arrived:
    """Rows that are done with."""

    rows: Sequence[int]


@dataclass(frozen=True, slots=True)
class _Fence:
    """What has arrived when this is answered."""

    sample: int
    rows: Sequence[int]


class History:
    """The past of one camera, as the worker of its sink sees it."""

    def __init__(
        self,
        node: EdgeNode,
        settings: HistorySettings,
        inbox: Inbox,
        *,
        act: Callable[[Sequence[Action]], object],
        fence: Callable[[], int | None],
    ) -> None:
        """`fence` sends a packet and gives its number, or None where there is no connection."""
        self._node = node
        self._act = act
        self._fence = fence
        self._recorder = Recorder(node.metrics, rate_hz=settings.rate_hz)
        self._shelf = _Shelf(settings.spool, inbox)
        self._session: object | None = None
        self._listening: object | None = None
        self._fences: dict[int, _Fence] = {}
        self._fenced_ns: int | None = None

    @property
    def counts(self) -> Counts:
        """Tell how many moments wait, to any thread."""
        return self._shelf.counts

    def see(self, values: Mapping[str, Value], *, measured_ms: int, now_ns: int) -> None:
        """Take the values of a frame."""
        self._keep(self._recorder.see(values, measured_ms=measured_ms, now_ns=now_ns))
        due = self._fenced_ns is None or now_ns - self._fenced_ns >= FENCE_NS
        if due and self._recorder.unconfirmed and not self._fences:
            self._fenced_ns = now_ns
            self._send_fence(())

    def lose_camera(self, *, now_ms: int, now_ns: int) -> None:
        """Take note that nothing is known any more."""
        self._keep(self._recorder.lose_camera(now_ms=now_ms, now_ns=now_ns))

    def heed(self, session: object) -> None:
        """Look at the node, which may have been born or died in this session."""
        heard = session if self._node.born else None
        if heard is not self._session:
            self._session = heard
            self._fences.clear()
            self._keep(self._recorder.lose())
            if heard is not None:
                self._recorder.hear()
        listening = session if self._node.device_born else None
        if listening is not self._listening:
            self._listening = listening
            self._shelf.post(_Listening(listening))

    def tell(self, past: Past) -> None:
        """Publish what was not heard, and ask whether that arrived."""
        if past.session is not self._listening:
            return
        for moment in past.moments.values():
            unknown = dict.fromkeys(self._node.metrics) if moment.whole else {}
            values = {**unknown, **moment.values}
            self._act(self._node.report_historical(values, measured_ms=moment.measured_ms))
        self._send_fence(tuple(past.moments))

    def answered(self, fence: int) -> None:
        """Forget what has arrived by now."""
        passed = self._fences.pop(fence, None)
        if passed is not None:
            self._recorder.confirm(passed.sample)
            self._shelf.post(_Arrived(passed.rows))

    def raise_if_dead(self) -> None:
        """Pass on what ended the thread, which only a bug can do."""
        self._shelf.raise_if_dead()

    def close(self) -> None:
        """Save everything."""
        self._shelf.close()

    def _keep(self, moments: Sequence[Moment]) -> None:
        for moment in moments:
            self._shelf.post(moment)

    def _send_fence(self, rows: Sequence[int]) -> None:
        number = self._fence()
        if number is not None:
            self._fences[number] = _Fence(self._recorder.last_sample, rows)


class _Shelf:
    """The thread that owns the spool."""

    def __init__(self, settings: SpoolSettings, outbox: Inbox) -> None:
        self._inbox: Inbox = queue.SimpleQueue()
        self._outbox = outbox
        self._session: object | None = None
        self._offered = False
        self._next_ns = 0
        self._warned = False
        self.counts = Counts(rows=0, dropped=0, ok=True)
        self._executor = ThreadPoolExecutor(1, "history")
        self._work = self._executor.submit(self._run, settings)

    def post(self, what: Moment | _Listening | _Arrived) -> None:
        """Take what happened; returns at once."""
        self._inbox.put(what)

    def raise_if_dead(self) -> None:
        if self._work.done():
            self._work.result()

    def close(self) -> None:
        self._inbox.put(Stop())
        wait([self._work], GOODBYE_S)
        self._executor.shutdown()

    def _run(self, settings: SpoolSettings) -> None:
        with closing(Spool(settings)) as spool:
            stopping = False
            while not stopping:
                for posted in self._news():
                    match posted:
                        case Stop():
                            stopping = True
                        case Moment():
                            spool.add(LEAF, write_moment(posted), precious=False)
                        case _Listening(session):
                            self._listen(session)
                        case _Arrived(rows):
                            self._forget(rows, spool)
                spool.save()
                self._count(spool)
                if self._session is not None and not (stopping or self._offered):
                    self._offer(self._session, spool)

    def _news(self) -> Iterator[object]:
        """Give what was posted, at once all there is; nothing when nothing comes for a while."""
        try:
            yield self._inbox.get(timeout=TICK_S)
            while True:
                yield self._inbox.get_nowait()
        except queue.Empty:
            return

    def _listen(self, session: object | None) -> None:
        self._session = session
        self._offered = False
        if session is not None:
            self._warned = False
            if self.counts.rows or self.counts.dropped:
                log.info(
                    "%d moments of Sparkplug history wait to be told; %d were dropped since the "
                    "start", self.counts.rows, self.counts.dropped,
                )  # fmt: skip

    def _forget(self, rows: Sequence[int], spool: Spool) -> None:
        for row in rows:
            spool.done(row)
        if rows:
            self._offered = False
            self._next_ns = monotonic_ns() + PAUSE_NS

    def _count(self, spool: Spool) -> None:
        before, self.counts = self.counts, spool.counts
        if self.counts.dropped > before.dropped and not self._warned:
            self._warned = True
            log.warning(
                "The Sparkplug history is longer than [spool] has room for; the oldest is dropped"
            )

    def _offer(self, session: object, spool: Spool) -> None:
        if self.counts.rows == 0 or monotonic_ns() < self._next_ns:
            return
        rows = spool.waiting(LEAF, without=(), most=HANDFUL)
        if rows:
            self._offered = True
            self._outbox.put(Past(session, {row.id: read_moment(row.payload) for row in rows}))
