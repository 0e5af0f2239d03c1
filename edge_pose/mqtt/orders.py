"""Commands come in from a broker, each is handed on, and what became of it goes back.

A connection of its own, so that neither a stalled stream of poses nor a refused subscription can
keep `pause` from being heard.
"""

import logging
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from paho.mqtt.client import MQTTMessageInfo
from paho.mqtt.subscribeoptions import SubscribeOptions

from edge_pose.address import Broker, Topics
from edge_pose.mqtt.client import (
    KEEPALIVE_S,
    Inbox,
    Link,
    Received,
    Refused,
    Stop,
    Subscribed,
    new_client,
)

log = logging.getLogger(__name__)

GOODBYE_S: Final = 2.0
_SEND_NO_RETAINED: Final = 2

Answer = Callable[[str, bytes, bool], str | None]
"""Name of a command, its payload, and whether the broker had kept it, to what is sent back."""


class Orders:
    """Hears `<root>/<device>/<cam>/cmd/<name>`, answers on `…/cmd/<name>/result`."""

    def __init__(self, broker: Broker, topics: Topics, answer: Answer) -> None:
        self._broker = broker
        self._topics = topics
        self._answer = answer
        self._reason = ""
        self._last: MQTTMessageInfo | None = None
        self._inbox: Inbox = queue.SimpleQueue()
        self._client = new_client(broker, f"{topics.device}-{topics.cam}-cmd", self._inbox)
        self._thread = threading.Thread(target=self._run, name="commands", daemon=True)
        self._thread.start()
        self._client.connect_async(broker.host, broker.port, KEEPALIVE_S)
        self._client.loop_start()

    def close(self) -> None:
        """Send what is still to be answered, and leave."""
        self._inbox.put(Stop())
        self._thread.join(2 * GOODBYE_S)
        if self._last is not None:
            with suppress(RuntimeError, ValueError):  # the connection was lost meanwhile
                self._last.wait_for_publish(GOODBYE_S)
        self._client.disconnect()
        self._client.loop_stop()

    def _run(self) -> None:
        while not isinstance(posted := self._inbox.get(), Stop):
            match posted:
                case Link(up=True):
                    self._subscribe()
                case Link(reason=reason) if reason != self._reason:
                    self._reason = reason
                    log.warning("No command can come from %s: %s", self._broker.url, reason)
                case Refused(reason) | Subscribed(refused=str(reason)):
                    log.warning("The broker %s refused commands: %s", self._broker.url, reason)
                case Received():
                    self._hear(posted)

    def _subscribe(self) -> None:
        self._reason = ""
        topic = self._topics.camera("cmd/+")
        if self._broker.protocol == "5":
            # What is retained was asked once; it must not be done again at every connection.
            options = SubscribeOptions(qos=1, retainHandling=_SEND_NO_RETAINED)
            self._client.subscribe(topic, options=options)
        else:
            self._client.subscribe(topic, 1)
        log.info("Commands are heard at %s", topic)

    def _hear(self, received: Received) -> None:
        name = received.topic.rpartition("/")[2]
        told = self._answer(name, received.payload, received.retained)
        if told is not None:
            topic = self._topics.camera(f"cmd/{name}/result")
            self._last = self._client.publish(topic, told, 1)
