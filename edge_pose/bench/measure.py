"""One camera, measured in this process: the appliance's own loop, with meters in between.

In: settings whose camera is a recording.  Out: a `Measured` with a row for each frame.
"""

import os
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge_pose.bench.ledger import Ledger, Row
from edge_pose.bench.meters import (
    MeteredEstimator,
    MeteredLines,
    MeteredSink,
    MeteredSource,
    metered,
)
from edge_pose.capture import open_source
from edge_pose.config import Config
from edge_pose.config.rules import broker as broker_of
from edge_pose.config.rules import topics
from edge_pose.errors import SourceError
from edge_pose.jsonl import JsonlSink, Lines
from edge_pose.model import OpenModel, open_model
from edge_pose.pipeline import Sink, Work, run

WARM_UP: Final = 20
"""Frames that find everybody and fill every cache; not counted."""
LEAST: Final = 10
"""Fewer rows have no percentiles."""
_BROKER_S: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What one camera's frames cost."""

    rows: list[Row]
    size_px: tuple[int, int]
    networks_alone_ms: float
    """All the rows' runs of the engines once more, one after the other with nothing between."""
    model: str
    engine: str


def measure(config: Config, *, frames: int, go: Callable[[], None] = lambda: None) -> Measured:
    """Run so many frames, then their networks alone; before either, `go` is called."""
    ledger = Ledger(skip=WARM_UP)
    with ExitStack() as stack, Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        source = MeteredSource(open_source(config.camera), ledger)
        stack.callback(source.close)
        model = stack.enter_context(
            open_model(config, around=lambda engines: metered(engines, ledger))
        )
        run(
            source,
            MeteredEstimator(model.estimator, ledger),
            _sinks(config, model, nowhere, ledger, stack),
            Work(
                describe=lambda width, height: model.meta(width, height, cam=config.camera.name),
                beat=lambda: ledger.end_frame(go),
                stop=threading.Event(),
                frames=WARM_UP + frames,
            ),
        )
        if len(ledger.rows) < LEAST:
            raise SourceError(
                f"{config.camera.source} leaves {len(ledger.rows)} frames to measure after "
                f"{WARM_UP} to warm up; wanted at least {LEAST}, so name a longer recording"
            )
        go()
        return Measured(
            rows=ledger.rows,
            size_px=ledger.size_px,
            networks_alone_ms=ledger.replay(),
            model=f"{model.identity.name} {model.identity.version}",
            engine=model.engine,
        )


def _sinks(
    config: Config, model: OpenModel, lines: Lines, ledger: Ledger, stack: ExitStack
) -> list[Sink]:
    """Make messages into lines, and send them to the broker where one was named."""
    jsonl = JsonlSink(MeteredLines(lines, ledger), cam=config.camera.name)
    sinks: list[Sink] = [MeteredSink(jsonl, ledger, "message")]
    if broker := broker_of(config):
        from edge_pose.mqtt import MqttSink

        mqtt = MqttSink(broker, topics(config), model.info())
        stack.callback(mqtt.close)
        mqtt.wait_online(_BROKER_S)
        sinks.append(MeteredSink(mqtt, ledger, "publish"))
    return sinks
