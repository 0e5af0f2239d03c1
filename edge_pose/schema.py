"""JSON Schemas of the messages, made from their types: `python -m edge_pose.schema FOLDER`.

What a type cannot say (a probability, the number of joints) stands here, once per field name.
"""

import json
import sys
import types
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Final, Literal, Union, get_args, get_origin, get_type_hints

from edge_pose.message import MAX_PERSONS, VERSION, FrameMessage, Info, Meta, StatsMessage
from edge_pose.skeleton import NUM_JOINTS

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
MESSAGES: Final = {"frame": FrameMessage, "meta": Meta, "info": Info, "stats": StatsMessage}
SCALARS: Final = {
    int: {"type": "integer"},
    float: {"type": "number"},
    str: {"type": "string"},
    bool: {"type": "boolean"},
}
PER_JOINT: Final[dict[str, object]] = {"minItems": NUM_JOINTS, "maxItems": NUM_JOINTS}
LIMITS: Final[dict[str, dict[str, object]]] = {
    "seq": {"minimum": 0},
    "score": {"minimum": 0, "maximum": 1},
    "kp": {**PER_JOINT, "description": "x, y, z in metres in camera axes, probability"},
    "kp_px": {**PER_JOINT, "description": "u, v in frame pixels"},
    "box": {"description": "x0, y0, x1, y1 in frame pixels"},
    "predicted": {"description": "joints that were not seen in this frame", "minItems": 1},
    "persons": {"maxItems": MAX_PERSONS},
    "ts": {"description": "time of the grab, milliseconds since 1970 in UTC"},
    "size": {"description": "width and height of the picture in pixels"},
    "joints": PER_JOINT,
    "parents": PER_JOINT,
}


def schema(name: str) -> dict[str, object]:
    """Describe the message of that name: `frame`, `meta`, `info` or `stats`."""
    identity = {"$schema": DIALECT, "$id": f"urn:edge-pose:{name}:{VERSION}"}
    return {**identity, "title": f"edge-pose {name}", **_object(MESSAGES[name])}


def write(folder: Path) -> None:
    """Write a file per message."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in MESSAGES:
        text = json.dumps(schema(name), indent=2) + "\n"
        (folder / f"pose-{name}-{VERSION}.schema.json").write_text(text, encoding="utf-8")


def _object(kind: type) -> dict[str, object]:
    """Consumers must bear fields they do not know, so more are allowed."""
    hints = get_type_hints(kind)
    described = fields(kind)
    return {
        "type": "object",
        "properties": {
            field.name: {**_described(_present(hints[field.name])), **LIMITS.get(field.name, {})}
            for field in described
        },
        # None, which is left out on the wire, is the default of what may be left out.
        "required": [field.name for field in described if field.default is not None],
    }


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


if __name__ == "__main__":
    write(Path(sys.argv[1]))
