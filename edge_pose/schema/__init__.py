"""JSON Schemas of the messages, made from their types; `python -m edge_pose.schema` writes them.

What a type cannot say (a probability, the number of joints) stands here, once per field name.
"""

import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Final, Literal, Union, get_args, get_origin, get_type_hints

from edge_pose.angles import NAMES as ANGLES
from edge_pose.event import EVENTS
from edge_pose.message import MAX_PERSONS, VERSION, FrameMessage, Info, Meta, StatsMessage
from edge_pose.skeleton import JOINTS, NUM_JOINTS

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
MESSAGES: Final[Mapping[str, type]] = {
    "frame": FrameMessage,
    "meta": Meta,
    "info": Info,
    "stats": StatsMessage,
    **{f"event-{name}": kind for name, kind in EVENTS.items()},
}
FLAT: Final = "person"
"""The message whose keys are made of the names of joints and angles."""
NAMES: Final = (*MESSAGES, FLAT)
SCALARS: Final = {
    int: {"type": "integer"},
    float: {"type": "number"},
    str: {"type": "string"},
    bool: {"type": "boolean"},
}
PER_JOINT: Final[dict[str, object]] = {"minItems": NUM_JOINTS, "maxItems": NUM_JOINTS}
OF_ARRAYS: Final[dict[str, dict[str, object]]] = {
    "kp": {**PER_JOINT, "description": "x, y, z in metres in camera axes, probability"},
    "kp_px": {**PER_JOINT, "description": "u, v in frame pixels"},
    "box": {"description": "x0, y0, x1, y1 in frame pixels"},
    "predicted": {"description": "joints that were not seen in this frame", "minItems": 1},
    "persons": {"maxItems": MAX_PERSONS},
    "size": {"description": "width and height of the picture in pixels"},
    "joints": PER_JOINT,
    "parents": PER_JOINT,
}
OF_NUMBERS: Final[dict[str, dict[str, object]]] = {
    "seq": {"minimum": 0},
    "score": {"minimum": 0, "maximum": 1},
    "ts": {"description": "time of the grab, milliseconds since 1970 in UTC"},
    "persons": {"minimum": 0},
    "inside": {"minimum": 0},
    "dwell_s": {"minimum": 0},
}


def schema(name: str) -> dict[str, object]:
    """Describe the message of that name."""
    identity = {"$schema": DIALECT, "$id": f"urn:edge-pose:{name}:{VERSION}"}
    return {**identity, "title": f"edge-pose {name}", **_body(name)}


def _body(name: str) -> dict[str, object]:
    return _flat_person() if name == FLAT else _object(MESSAGES[name])


def _flat_person() -> dict[str, object]:
    """Joints that are not known are left out, and angles of them."""
    fixed: dict[str, type] = {"ts": int, "seq": int, "id": int, "score": float, "stale": bool}
    joints = {f"{joint}_{axis}": SCALARS[float] for joint in JOINTS for axis in "xyz"}
    scores = {f"{joint}_c": {**SCALARS[float], **OF_NUMBERS["score"]} for joint in JOINTS}
    angles = {angle: {**SCALARS[float], "minimum": -180, "maximum": 180} for angle in ANGLES}
    return {
        "type": "object",
        "properties": {
            **{key: {**SCALARS[kind], **OF_NUMBERS.get(key, {})} for key, kind in fixed.items()},
            "distance": {**SCALARS[float], "description": "of the pelvis from the camera, metres"},
            **joints,
            **scores,
            **angles,
        },
        "required": list(fixed),
    }


def _object(kind: type) -> dict[str, object]:
    """Consumers must bear fields they do not know, so more are allowed."""
    hints = get_type_hints(kind)
    described = fields(kind)
    return {
        "type": "object",
        "properties": {
            field.name: _limited(field.name, _described(_present(hints[field.name])))
            for field in described
        },
        # None, which is left out on the wire, is the default of what may be left out.
        "required": [field.name for field in described if field.default is not None],
    }


def _limited(name: str, described: dict[str, Any]) -> dict[str, Any]:
    limits = OF_ARRAYS if described.get("type") == "array" else OF_NUMBERS
    return {**described, **limits.get(name, {})}


def _present(kind: Any) -> Any:
    """Take away the None of a field that may be left out."""
    kinds = [part for part in get_args(kind) if part is not type(None)]
    return kinds[0] if get_origin(kind) in (Union, types.UnionType) else kind


def _described(kind: Any) -> dict[str, Any]:
    if kind in SCALARS:
        return dict(SCALARS[kind])
    if is_dataclass(kind):
        return _object(kind)  # type: ignore[arg-type]
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        return {"const": arguments[0]} if len(arguments) == 1 else {"enum": list(arguments)}
    if origin in (Union, types.UnionType):
        return {"type": [str(_described(_present(kind))["type"]), "null"]}
    assert origin is tuple
    if arguments[1:] == (Ellipsis,):
        return {"type": "array", "items": _described(arguments[0])}
    parts = [_described(part) for part in arguments]
    return {"type": "array", "prefixItems": parts, "items": False, "minItems": len(parts)}
