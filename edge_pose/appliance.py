"""The appliance: opens everything in order, runs the loop, closes everything in reverse."""

import logging
import os
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final, TextIO

from edge_pose.capture import open_source
from edge_pose.config import Config
from edge_pose.config.rules import broker as broker_of
from edge_pose.config.rules import topics
from edge_pose.control import Control, Figures, Reborn, answers
from edge_pose.engines.engine_cache import default_folder
from edge_pose.errors import EXIT_OK
from edge_pose.level import up_in_camera
from edge_pose.limited import limited
from edge_pose.model import open_model
from edge_pose.notify import Heartbeat, Supervisor
from edge_pose.outputs import open_sinks
from edge_pose.pipeline import Sink, Work, run
from edge_pose.report import ReportSink
from edge_pose.watch import Hear, Watch

if TYPE_CHECKING:
    from edge_pose.metrics import Watched

log = logging.getLogger(__name__)

MODEL_LIMIT_S: Final = 1800.0
"""What a model may take in a reload, whose engines may have to be built, or be waited for while
another camera builds them: as much as `systemd/gpu.conf` gives a start.
"""


def serve(config: Config, *, control: Control, out: TextIO) -> int:
    """Watch the camera and send what is seen until it ends or `control` ends the round."""
    supervisor = Supervisor.from_environment(os.environ)
    supervisor.tell("STATUS=opening the camera and the model")
    heartbeat = Heartbeat(supervisor, watched=control.ready)
    heartbeat.step()
    with ExitStack() as stack:
        watched = open_metrics(config, heartbeat, stack) if config.metrics.enabled else None
        source = open_source(config.camera)
        stack.callback(source.close)
        with heartbeat.patience(MODEL_LIMIT_S):
            model = stack.enter_context(open_model(config))
        sinks: list[Sink] = [ReportSink(supervisor)]
        stack.callback(sinks[0].close)
        listeners: list[Hear] = []
        open_sinks(config, model, stack, sinks, listeners, live=source.live, out=out)
        if watched is not None:
            sinks.append(watched.begin(lambda: model.estimator.times_ms, model.info(), sinks))
        hear_commands(config, control, stack, sinks)
        sinks = limited(sinks, config.output.joints)
        sinks.append(open_watch(config, listeners, stack, degraded=model.degraded))
        supervisor.tell("READY=1")
        control.ready = True

        def beat() -> None:
            heartbeat.beat()
            control.look()

        done = run(
            source,
            model.estimator,
            sinks,
            Work(
                describe=lambda width, height: model.meta(width, height, cam=config.camera.name),
                beat=beat,
                stop=control.round,
                frames=config.output.frames,
                paused=lambda: bool(control.pause),
            ),
        )
        supervisor.tell("STOPPING=1" if control.new is None else "STATUS=beginning again")
        log.info("%d frames done, %d skipped", done, source.skipped)
    return EXIT_OK


def open_metrics(config: Config, heartbeat: Heartbeat, stack: ExitStack) -> "Watched":
    """Serve figures and health while the stack lasts, from before the model is open."""
    from edge_pose.metrics import Watched, serve_metrics

    watched = Watched(heartbeat, default_folder(os.environ))
    address = stack.enter_context(serve_metrics(config.metrics, watched))
    log.info("Figures are at %smetrics", address)
    return watched


def hear_commands(config: Config, control: Control, stack: ExitStack, sinks: list[Sink]) -> None:
    """Take commands over MQTT while the stack lasts, where the operator wants that.

    A pause of before is taken up here, because here it can be ended.
    """
    broker = broker_of(config)
    if not config.commands.enabled or broker is None:
        return
    from edge_pose.mqtt import Orders

    if not broker.tls or (broker.username is None and broker.cert_file is None):
        log.warning(
            "Commands are taken from %s without TLS or without a user: whoever reaches that broker "
            "may give them, unless it forbids it",
            broker.url,
        )
    control.pause.recall()
    if control.pause:
        log.warning("The camera stays paused, as somebody asked before; `resume` ends that")
    figures = Figures()
    sinks.append(figures)
    born = [sink for sink in sinks if isinstance(sink, Reborn)]

    def births() -> None:
        for sink in born:
            sink.rebirth()

    orders = Orders(broker, topics(config), answers(control.desk(config, births, figures)))
    stack.callback(orders.close)


def open_watch(
    config: Config, listeners: list[Hear], stack: ExitStack, *, degraded: str | None
) -> Watch:
    """Tell the listeners what happens, until the stack closes."""
    camera = config.camera
    watch = Watch(
        listeners,
        cam=camera.name,
        zones=config.events.zones,
        up=up_in_camera(camera.pitch_deg or 0.0, camera.roll_deg),
        degraded=degraded,
    )
    stack.callback(watch.close)
    return watch
