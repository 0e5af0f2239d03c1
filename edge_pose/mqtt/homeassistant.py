"""What Home Assistant must be told to show a camera by itself: topics and payloads, one an entity.

In: the names of topics, who we are.  Out: retained messages below the prefix that Home Assistant
watches.  They hold nothing about people.
"""

import re
import zlib
from collections.abc import Mapping
from typing import Any, Final

from edge_pose.address import Topics
from edge_pose.message import Info, encode

SILENT_S: Final = 10
"""Without news for so long a figure is no longer true."""
ONLINE: Final = "{{ 'online' if value == 'online' else 'offline' }}"

FIGURES: Final[Mapping[str, Mapping[str, object]]] = {
    "people": {
        "name": "People",
        "value_template": "{{ value_json.persons }}",
        "icon": "mdi:account-multiple",
        "state_class": "measurement",
    },
    "fps": {
        "name": "Frame rate",
        "value_template": "{{ value_json.fps }}",
        "unit_of_measurement": "fps",
        "state_class": "measurement",
        "entity_category": "diagnostic",
    },
    "infer_ms": {
        "name": "Inference time",
        "value_template": "{{ value_json.infer_ms_p95 }}",
        "unit_of_measurement": "ms",
        "device_class": "duration",
        "state_class": "measurement",
        "entity_category": "diagnostic",
    },
    "spooled": {
        "name": "Messages waiting",
        "value_template": "{{ value_json.spooled }}",
        "state_class": "measurement",
        "entity_category": "diagnostic",
    },
}
"""Sensors that read the message about statistics."""


def discovery(topics: Topics, info: Info, *, prefix: str) -> dict[str, str]:
    """Give the payload of each topic that introduces an entity."""
    entities: dict[tuple[str, str], Mapping[str, object]] = {
        ("binary_sensor", "camera"): {
            "name": "Camera",
            "device_class": "connectivity",
            "entity_category": "diagnostic",
            "state_topic": topics.camera("status"),
            "value_template": "{{ 'ON' if value == 'online' else 'OFF' }}",
            "availability": [{"topic": topics.device_status}],
        },
        ("binary_sensor", "occupied"): {
            **_from_stats(topics),
            "name": "Somebody there",
            "device_class": "occupancy",
            "value_template": "{{ 'ON' if value_json.persons > 0 else 'OFF' }}",
        },
        **{("sensor", key): {**_from_stats(topics), **told} for key, told in FIGURES.items()},
    }
    node = _node(topics)
    return {
        f"{prefix}/{component}/{node}/{key}/config": encode(
            {
                **entity,
                "unique_id": f"{node}_{key}",
                "device": _device(topics, info),
                "origin": {"name": "edge-pose", "sw_version": info.version},
            }
        )
        for (component, key), entity in entities.items()
    }


def _from_stats(topics: Topics) -> dict[str, Any]:
    """Read figures, which a stale camera makes unavailable: nobody seen is not nobody there."""
    return {
        "state_topic": topics.camera("stats"),
        "expire_after": SILENT_S,
        "availability_mode": "all",
        "availability": [
            {"topic": topics.device_status},
            {"topic": topics.camera("status"), "value_template": ONLINE},
        ],
    }


def _device(topics: Topics, info: Info) -> dict[str, object]:
    return {
        "identifiers": [_node(topics)],
        "name": f"{topics.device} {topics.cam}",
        "manufacturer": "edge-pose",
        "model": f"{info.model.name} {info.model.version}",
        "sw_version": info.version,
    }


def _node(topics: Topics) -> str:
    """Name the camera with the signs that Home Assistant takes, and no other camera alike."""
    whole = f"{topics.root}/{topics.device}/{topics.cam}"
    readable = re.sub(r"[^A-Za-z0-9_-]", "_", f"{topics.device}_{topics.cam}")
    return f"edge-pose_{readable}_{zlib.crc32(whole.encode()):08x}"
