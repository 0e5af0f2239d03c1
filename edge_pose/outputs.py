"""Where what is seen goes, opened as the operator wants: lines, a broker, a Sparkplug host, a page.

In: settings and an open model.  Out: sinks for the loop and listeners for what happens, closed with
the stack.
"""

import logging
import os
from contextlib import ExitStack
from typing import Final, TextIO

import numpy as np
from jaxtyping import Float64

from edge_pose import spool
from edge_pose.address import Broker
from edge_pose.config import CameraConfig, Config
from edge_pose.config.rules import broker as broker_of
from edge_pose.config.rules import sparkplug_joints, sparkplug_topics, topics
from edge_pose.jsonl import JsonlSink
from edge_pose.level import up_in_camera
from edge_pose.message import Info
from edge_pose.model import OpenModel
from edge_pose.pipeline import Sink
from edge_pose.spool import IN_MEMORY
from edge_pose.watch import Hear

log = logging.getLogger(__name__)

BROKER_S: Final = 5.0
"""How long a recording waits for the broker before it gives up; a camera waits for ever."""


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
