"""The only folder that knows the MQTT client: `MqttSink` sends, `Subscription`, `Orders` hear."""

from edge_pose.mqtt.client import Link, Received, Subscription
from edge_pose.mqtt.history import HistorySettings
from edge_pose.mqtt.orders import Orders
from edge_pose.mqtt.sink import MqttSink
from edge_pose.mqtt.sparkplug_sink import SparkplugSink

__all__ = [
    "HistorySettings",
    "Link",
    "MqttSink",
    "Orders",
    "Received",
    "SparkplugSink",
    "Subscription",
]
