"""The appliance: opens everything in order, runs the loop, closes everything in reverse."""

import logging
import os
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final, TextIO

import numpy as np
from jaxtyping import Float64

from edge_pose import spool
from edge_pose.address import Broker
from edge_pose.capture import open_source
from edge_pose.config import CameraConfig, Config
from edge_pose.config.rules import broker as broker_of
from edge_pose.config.rules import sparkplug_joints, sparkplug_topics, topics
from edge_pose.control import Control, Figures, Reborn, answers
from edge_pose.engines.engine_cache import default_folder
from edge_pose.errors import EXIT_OK
from edge_pose.jsonl import JsonlSink
from edge_pose.level import up_in_camera
from edge_pose.limited import limited
from edge_pose.message import Info
from edge_pose.model import OpenModel, open_model
from edge_pose.notify import Heartbeat, Supervisor
from edge_pose.pipeline import Sink, Work, run
from edge_pose.report import ReportSink
from edge_pose.spool import IN_MEMORY
from edge_pose.watch import Hear, Watch

if TYPE_CHECKING:
    from edge_pose.metrics import Watched

log = logging.getLogger(__name__)

BROKER_S: Final = 5.0
"""How long a recording waits for the broker before it gives up; a camera waits for ever."""


def serve(config: Config, *, control: Control, out: TextIO) -> int:
    """Watch the camera and send what is seen until it ends or `control` ends the round."""
    supervisor = Supervisor.from_environment(os.environ)
    supervisor.tell("STATUS=opening the camera and the model")
    heartbeat = Heartbeat(supervisor)
    with ExitStack() as stack:
        watched = open_metrics(config, heartbeat, stack) if config.metrics.enabled else None
        source = open_source(config.camera)
        stack.callback(source.close)
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


def open_sinks(
    config: Config,
    model: OpenModel,
    stack: ExitStack,
    sinks: list[Sink],
    listeners: list[Hear],
    *,
    live: bool,
    out: TextIO,
) -> None:
    """Add a sink for everything the operator asked for; the live page when that is nothing."""
    if config.output.messages == "jsonl":
        lines = JsonlSink(out, cam=config.camera.name)
        sinks.append(lines)
        if config.output.events:
            listeners.append(lines.event)
    with_view = config.view.enabled or (
        config.output.messages is None and config.mqtt.broker is None
    )
    broker = broker_of(config)
    if broker is None and not with_view:
        return
    from edge_pose.mqtt import MqttSink  # 200 ms that a run without a broker need not wait for

    # Who starts a broker only to look at the live page leaves nothing on the disk.
    kept = IN_MEMORY if broker is None else spool.settings(config, os.environ)
    broker = broker or embedded(stack)
    sink = MqttSink(
        broker,
        topics(config),
        model.info(),
        spool=kept,
        tags=config.tags,
        homeassistant=config.homeassistant,
        up=known_up(config.camera),
    )
    stack.callback(sink.close)
    sinks.append(sink)
    listeners.append(sink.event)
    if not live:
        sink.wait_online(BROKER_S)
    if config.sparkplug.enabled:
        sinks.append(open_sparkplug(config, broker, model.info(), stack, live=live))
    if with_view:
        open_view(config, broker, stack)


def open_metrics(config: Config, heartbeat: Heartbeat, stack: ExitStack) -> "Watched":
    """Serve figures and health while the stack lasts, from before the model is open."""
    from edge_pose.metrics import Watched, serve_metrics

    watched = Watched(heartbeat, default_folder(os.environ))
    address = stack.enter_context(serve_metrics(config.metrics, watched))
    log.info("Figures are at %smetrics", address)
    return watched


def hear_commands(config: Config, control: Control, stack: ExitStack, sinks: list[Sink]) -> None:
    """Take commands over MQTT while the stack lasts, where the operator wants that."""
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
    figures = Figures()
    sinks.append(figures)
    born = [sink for sink in sinks if isinstance(sink, Reborn)]

    def births() -> None:
        for sink in born:
            sink.rebirth()

    orders = Orders(broker, topics(config), answers(control.desk(config, births, figures)))
    stack.callback(orders.close)


def open_sparkplug(
    config: Config, broker: Broker, info: Info, stack: ExitStack, *, live: bool
) -> Sink:
    """Connect the camera as a device of a Sparkplug edge node."""
    from edge_pose.mqtt import HistorySettings, SparkplugSink
    from edge_pose.sparkplug.metrics import camera_metrics
    from edge_pose.sparkplug.node import EdgeNode

    told = config.sparkplug
    joints = sparkplug_joints(config)
    people = config.model.max_people
    node = EdgeNode(
        sparkplug_topics(config),
        camera_metrics(joints=joints, people=people, deadband_m=told.deadband_m),
        properties={
            "Properties/Version": info.version,
            "Properties/Machine": info.machine,
            "Properties/Model": f"{info.model.name} {info.model.version}",
            "Properties/Engine": info.engine,
        },
        aliases=told.aliases,
        datatype_in_data=told.datatype_in_data,
    )
    kept = spool.history_settings(config, os.environ)
    history = None
    if told.history_hz > 0.0 and kept.path is not None:
        history = HistorySettings(rate_hz=told.history_hz, spool=kept)
    sink = SparkplugSink(broker, node, joints=joints, rate_hz=told.rate_hz, history=history)
    stack.callback(sink.close)
    if not live:
        sink.wait_online(BROKER_S)
    return sink


def known_up(camera: CameraConfig) -> Float64[np.ndarray, "3"] | None:
    """Say which way is up before the camera, where somebody said how it hangs."""
    return None if camera.pitch_deg is None else up_in_camera(camera.pitch_deg, camera.roll_deg)


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


def open_view(config: Config, broker: Broker, stack: ExitStack) -> None:
    """Serve the live page while the stack lasts."""
    from edge_pose.view import serve_view

    view = config.view
    address = stack.enter_context(
        serve_view(broker, root=config.mqtt.root, host=view.host, port=view.port)
    )
    log.info("The live page is at %s", address)


def embedded(stack: ExitStack) -> Broker:
    """Start a broker of our own on loopback while the stack lasts."""
    from edge_pose.broker import embedded_broker

    return stack.enter_context(embedded_broker())
