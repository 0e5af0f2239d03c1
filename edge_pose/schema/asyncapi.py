"""Every topic in one AsyncAPI 3.0 document: which message it carries, how surely, and for how long.

In: the schemas of the messages.  Out: a document that tools of others make clients and pages from.
"""

from dataclasses import dataclass
from typing import Any, Final, Literal

from edge_pose import __version__
from edge_pose.config import COMMANDS
from edge_pose.event import EVENTS
from edge_pose.message import VERSION
from edge_pose.remote import MOST_NAME
from edge_pose.schema import schema
from edge_pose.skeleton import JOINTS

MQTT_BINDING: Final = "0.2.0"
DRAFT_7: Final = "application/schema+json;version=draft-07"
"""The newest dialect of JSON Schema that every tool for AsyncAPI reads."""
DEVICE: Final = "{root}/{device}"
CAMERA: Final = "{root}/{device}/{cam}"
STATE: Final = {"type": "string", "enum": ["online", "offline"]}
CAMERA_STATE: Final = {"type": "string", "enum": ["online", "offline", "stale", "paused"]}
ASKED: Final = {
    "type": "object",
    "description": "Empty, or an id of the sender that is sent back",
    "properties": {"id": {"type": ["integer", "string"], "maxLength": MOST_NAME}},
    "additionalProperties": False,
}
DONE: Final = {
    "type": "object",
    "required": ["v", "ts", "command", "ok"],
    "properties": {
        "v": {"const": VERSION},
        "ts": {"type": "integer"},
        "command": {"type": "string"},
        "id": {"type": ["integer", "string"]},
        "ok": {"type": "boolean"},
        "error": {"type": "string", "description": "Why not, in one sentence"},
        "paused": {"type": "boolean"},
        "stats": {"type": "object"},
    },
}
NUMBER: Final = {"type": "string", "pattern": r"^-?\d+\.\d{3}$"}
PARAMETERS: Final[dict[str, dict[str, Any]]] = {
    "root": {"description": "mqtt.root: the first levels of every topic"},
    "device": {"description": "device.name"},
    "cam": {"description": "camera.name"},
    "slot": {"description": "a low number that a person keeps while seen"},
    "joint": {"description": "name of a joint", "enum": list(JOINTS)},
    "name": {"description": "what is asked for", "enum": list(COMMANDS)},
    "axis": {"description": "coordinate, or probability", "enum": ["x", "y", "z", "c"]},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """One kind of topic."""

    name: str
    address: str
    meaning: str
    schema: str | dict[str, Any]
    """Name of a message in JSON, or what else it is: an object, or plain text."""
    qos: int = 0
    retained: bool = False
    action: Literal["send", "receive"] = "send"
    """Seen from the device."""


CHANNELS: Final = (
    Channel(
        name="device_status",
        address=f"{DEVICE}/status",
        meaning="Whether the device is there; its last will says offline",
        schema=STATE,
        qos=1,
        retained=True,
    ),
    Channel(
        name="device_info",
        address=f"{DEVICE}/info",
        meaning="What holds for the device while it is connected",
        schema="info",
        qos=1,
        retained=True,
    ),
    Channel(
        name="camera_status",
        address=f"{CAMERA}/status",
        meaning="Whether the camera gives pictures",
        schema=CAMERA_STATE,
        qos=1,
        retained=True,
    ),
    Channel(
        name="meta",
        address=f"{CAMERA}/meta",
        meaning="What holds for all frames until the next such message",
        schema="meta",
        qos=1,
        retained=True,
    ),
    Channel(
        name="pose",
        address=f"{CAMERA}/pose",
        meaning="Everybody in one frame; expires after 2 s",
        schema="frame",
    ),
    Channel(
        name="person",
        address=f"{CAMERA}/person/{{slot}}",
        meaning="One person, one level deep",
        schema="person",
    ),
    Channel(
        name="tag",
        address=f"{CAMERA}/tag/{{slot}}/{{joint}}/{{axis}}",
        meaning="One number",
        schema=NUMBER,
    ),
    Channel(
        name="stats",
        address=f"{CAMERA}/stats",
        meaning="How the pipeline did, once a second",
        schema="stats",
    ),
    Channel(
        name="summary",
        address=f"{CAMERA}/summary",
        meaning="The same, kept until somebody has it",
        schema="stats",
        qos=1,
    ),
    *(
        Channel(
            name=f"event_{name}",
            address=f"{CAMERA}/event/{name}",
            meaning=str(kind.__doc__).splitlines()[0],
            schema=f"event-{name}",
            qos=1,
        )
        for name, kind in EVENTS.items()
    ),
    Channel(
        name="command",
        address=f"{CAMERA}/cmd/{{name}}",
        meaning="Something that the device is to do, where it was allowed to be asked",
        schema=ASKED,
        qos=1,
        action="receive",
    ),
    Channel(
        name="command_result",
        address=f"{CAMERA}/cmd/{{name}}/result",
        meaning="What became of it",
        schema=DONE,
        qos=1,
    ),
)


def document() -> dict[str, Any]:
    """Describe all topics."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "edge-pose",
            "version": __version__,
            "description": "3D human keypoints and events of a camera, over MQTT.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {channel.name: _channel(channel) for channel in CHANNELS},
        "operations": {
            f"{channel.action}_{channel.name}": _operation(channel) for channel in CHANNELS
        },
        "components": {"messages": {channel.name: _message(channel) for channel in CHANNELS}},
    }


def _channel(channel: Channel) -> dict[str, Any]:
    return {
        "address": channel.address,
        "description": channel.meaning,
        "parameters": {
            name: meaning
            for name, meaning in PARAMETERS.items()
            if f"{{{name}}}" in channel.address
        },
        "messages": {channel.name: {"$ref": f"#/components/messages/{channel.name}"}},
    }


def _operation(channel: Channel) -> dict[str, Any]:
    return {
        "action": channel.action,
        "channel": {"$ref": f"#/channels/{channel.name}"},
        "bindings": {
            "mqtt": {
                "qos": channel.qos,
                "retain": channel.retained,
                "bindingVersion": MQTT_BINDING,
            }
        },
    }


def _message(channel: Channel) -> dict[str, Any]:
    if not isinstance(channel.schema, str):
        is_json = channel.schema["type"] == "object"
        return {
            "contentType": "application/json" if is_json else "text/plain",
            "payload": channel.schema,
        }
    described = _in_draft_7(
        {key: value for key, value in schema(channel.schema).items() if not key.startswith("$")}
    )
    return {"title": channel.schema, "payload": {"schemaFormat": DRAFT_7, "schema": described}}


def _in_draft_7(value: Any) -> Any:
    """Say the same in the older dialect, which has other words for arrays of fixed length."""
    if isinstance(value, list):
        return [_in_draft_7(item) for item in value]
    if not isinstance(value, dict):
        return value
    told = {key: _in_draft_7(item) for key, item in value.items()}
    if isinstance(told.get("prefixItems"), list):
        told["additionalItems"] = told.pop("items")
        told["items"] = told.pop("prefixItems")
    return told
