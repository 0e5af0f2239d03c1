"""The only folder that knows the MQTT client: `MqttSink` sends poses, `Subscription` hears them."""

from edge_pose.mqtt.client import Link, Received, Subscription
from edge_pose.mqtt.sink import MqttSink
from edge_pose.mqtt.sparkplug_sink import SparkplugSink

__all__ = ["Link", "MqttSink", "Received", "SparkplugSink", "Subscription"]
