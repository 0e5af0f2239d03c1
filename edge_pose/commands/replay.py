"""`edge-pose replay`: publish recorded messages again, at the pace at which they were seen."""

import threading
from argparse import Namespace
from contextlib import ExitStack

from edge_pose import __version__
from edge_pose.clock import NS_PER_MS, NS_PER_S, Clock, monotonic_ns, utc_ms
from edge_pose.config import Config
from edge_pose.config.read import Effective
from edge_pose.config.rules import broker as broker_of
from edge_pose.config.rules import topics
from edge_pose.daemon import stop_asked
from edge_pose.errors import EXIT_OK, SourceError
from edge_pose.message import Info, Model
from edge_pose.mqtt import MqttSink
from edge_pose.outputs import BROKER_S, embedded, open_view
from edge_pose.pipeline import Sink
from edge_pose.recorded import Recorded, recorded


def main(settings: Effective, arguments: Namespace) -> int:
    """Publish the file to the broker, or to one of our own with the live page."""
    records = list(recorded(arguments.recording))
    if not records or records[0].meta is None:
        raise SourceError(
            f"{arguments.recording} holds no recorded frames; "
            "`edge-pose run --output jsonl > FILE` records some"
        )
    with stop_asked() as stop, ExitStack() as stack:
        sink = _open_sink(settings.config, records[0], stack)
        play(records, sink, stop)
    return EXIT_OK


def _open_sink(config: Config, first: Recorded, stack: ExitStack) -> MqttSink:
    broker = broker_of(config)
    with_view = config.view.enabled or broker is None
    broker = broker or embedded(stack)
    sink = MqttSink(broker, topics(config), _info(first))
    stack.callback(sink.close)
    sink.wait_online(BROKER_S)
    if with_view:
        open_view(config, broker, stack)
    return sink


def _info(first: Recorded) -> Info:
    meta = first.meta or {}
    model = meta.get("model")
    told = {key: str(value) for key, value in model.items()} if isinstance(model, dict) else {}
    return Info(
        version=__version__,
        machine="replay",
        model=Model(**{"name": "", "version": "", "sha256": "", **told}),
        engine=str(meta.get("engine", "")),
        started=utc_ms(),
    )


def play(
    records: list[Recorded], sink: Sink, stop: threading.Event, clock: Clock = monotonic_ns
) -> None:
    """Send each record when as much time has passed as between the recorded grabs."""
    start_ns, first_ms = clock(), records[0].frame.captured_at_ms
    sink.status("online")
    for record in records:
        due_ns = start_ns + (record.frame.captured_at_ms - first_ms) * NS_PER_MS
        if stop.wait(max(due_ns - clock(), 0) / NS_PER_S):
            return
        if record.meta is not None:
            sink.start(record.meta)
        sink.send(record.frame, record.poses, record.stats)
