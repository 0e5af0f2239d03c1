"""An edge node before a real broker, and the host application that commands it."""

import json
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count

from edge_pose.address import Broker, SparkplugTopics
from edge_pose.mqtt import HistorySettings, SparkplugSink
from edge_pose.sparkplug.metrics import camera_metrics
from edge_pose.sparkplug.node import REBIRTH, EdgeNode
from edge_pose.sparkplug.payload import Metric, Payload, Value, encode
from walkers import walkers

JOINTS = ("nose", "right_wrist")
PEOPLE = 4
DEADBAND_M = 0.005
HOST = "scada"
TOPICS = SparkplugTopics(group="line-3", node="edge-7", device="cam0")
HOSTED = SparkplugTopics(group="line-3", node="edge-7", device="cam0", primary_host=HOST)
PROPERTIES = {"Properties/Version": "0.1.0", "Properties/Engine": "a fake"}
METRICS = camera_metrics(joints=JOINTS, people=PEOPLE, deadband_m=DEADBAND_M)
CONNECT_S = 30.0
NCMD = TOPICS.of_node("NCMD")
STATE = f"spBv1.0/STATE/{HOST}"


def edge_node(
    topics: SparkplugTopics = TOPICS,
    *,
    aliases: bool = False,
    datatype_in_data: bool = True,
    now_ms: Callable[[], int] | None = None,
) -> EdgeNode:
    """Make a node whose clock ticks a millisecond whenever it looks."""
    ticks = count(1_790_000_100_000)
    return EdgeNode(
        topics,
        METRICS,
        properties=PROPERTIES,
        aliases=aliases,
        datatype_in_data=datatype_in_data,
        now_ms=now_ms or (lambda: next(ticks)),
    )


@contextmanager
def connected(
    broker: Broker,
    node: EdgeNode | None = None,
    *,
    step_s: float = 1.0,
    history: HistorySettings | None = None,
    wait_s: float = CONNECT_S,
) -> Iterator[SparkplugSink]:
    """Run a sink; its clock goes on by one step a frame."""
    ticks = count()
    sink = SparkplugSink(
        broker,
        node or edge_node(),
        joints=JOINTS,
        rate_hz=2.0,
        history=history,
        clock=lambda: round(next(ticks) * step_s * 1e9),
    )
    try:
        if wait_s:
            sink.wait_online(wait_s)
        yield sink
    finally:
        sink.close()


def walk(sink: SparkplugSink, *, frames: int = 1, seen: Sequence[int] = (1, 2)) -> None:
    """Show people walking to the sink."""
    for frame, poses, stats in walkers(people=4, frames=frames):
        sink.send(frame, [pose for pose in poses if pose.track in seen], stats)


def tell(broker: Broker, topic: str, payload: bytes, *words: str) -> None:
    """Publish with mosquitto's own client."""
    sender = ["mosquitto_pub", "-h", broker.host, "-p", str(broker.port), "-t", topic]
    content = "-s" if payload else "-n"
    subprocess.run([*sender, content, *words], input=payload, check=True)


def command(name: str = REBIRTH, *, value: Value = True) -> bytes:
    """Write an NCMD."""
    metric = Metric(name=name, value=value)
    return encode(Payload(timestamp_ms=1, metrics=(metric,)))


def host_state(*, online: bool, timestamp_ms: int) -> bytes:
    """Write a STATE."""
    return json.dumps({"online": online, "timestamp": timestamp_ms}).encode()


def tell_state(broker: Broker, *, online: bool, timestamp_ms: int, topic: str = STATE) -> None:
    """Tell as the primary host whether it is there."""
    tell(broker, topic, host_state(online=online, timestamp_ms=timestamp_ms), "-r", "-q", "1")
