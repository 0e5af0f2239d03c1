"""Sparkplug B payloads: metrics to bytes and back; the only file that knows protobuf.

The field numbers are those that Eclipse Tahu publishes in `sparkplug_b.proto`; only the fields that
we write or read are declared, and whatever else comes in is passed over.  Protobuf is imported when
the first payload is made, because most who import this package never make one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from typing import Any, Final

from edge_pose.errors import PayloadError

Value = int | float | bool | str | None
"""None is a value that is not known; on the wire it is `is_null`."""


class DataType(IntEnum):
    """The data types that we write, with their published numbers."""

    INT32 = 3
    INT64 = 4
    FLOAT = 9
    BOOLEAN = 11
    STRING = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One named value."""

    name: str | None = None
    """Left out where an alias stands for it."""
    alias: int | None = None
    timestamp_ms: int | None = None
    """When the value was measured, milliseconds since 1970 in UTC."""
    datatype: int | None = None
    value: Value = None
    unit: str | None = None
    """On the wire the property `engUnit`."""
    is_historical: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """What one message says."""

    timestamp_ms: int | None = None
    """When it was sent, milliseconds since 1970 in UTC."""
    metrics: tuple[Metric, ...] = ()
    seq: int | None = None


_FIELDS: Final[Mapping[str, tuple[tuple[str, int, str], ...]]] = {
    "Payload": (
        ("timestamp", 1, "uint64"),
        ("metrics", 2, "Metric*"),
        ("seq", 3, "uint64"),
    ),
    "Metric": (
        ("name", 1, "string"),
        ("alias", 2, "uint64"),
        ("timestamp", 3, "uint64"),
        ("datatype", 4, "uint32"),
        ("is_historical", 5, "bool"),
        ("is_null", 7, "bool"),
        ("properties", 9, "PropertySet"),
        ("int_value", 10, "uint32"),
        ("long_value", 11, "uint64"),
        ("float_value", 12, "float"),
        ("double_value", 13, "double"),
        ("boolean_value", 14, "bool"),
        ("string_value", 15, "string"),
    ),
    "PropertySet": (
        ("keys", 1, "string*"),
        ("values", 2, "PropertyValue*"),
    ),
    "PropertyValue": (
        ("type", 1, "uint32"),
        ("string_value", 8, "string"),
    ),
}
"""Messages and their fields: name, number, type; a star stands for any number of them."""
_VALUE_FIELD: Final = {
    DataType.INT32: "int_value",
    DataType.INT64: "long_value",
    DataType.FLOAT: "float_value",
    DataType.BOOLEAN: "boolean_value",
    DataType.STRING: "string_value",
}
_FIELD_OF_KIND: Final = {
    bool: "boolean_value",
    int: "int_value",
    float: "float_value",
    str: "string_value",
}
"""Where a value goes of which the message does not tell the data type."""
_VALUE_BITS: Final = {"int_value": 32, "long_value": 64}
_SIGNED: Final = range(1, 5)
"""Numbers of the data types Int8 to Int64, whose negative values travel as two's complement."""
_ENGINEERING_UNIT: Final = "engUnit"


@cache
def _classes() -> Mapping[str, Any]:
    """Make a class of each message, in a pool of our own."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    package = "edge_pose.sparkplug"
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package)
    kinds = descriptor_pb2.FieldDescriptorProto
    for name, fields in _FIELDS.items():
        message = file.message_type.add(name=name)
        for field, number, kind in fields:
            single = kind.rstrip("*")
            declared = message.field.add(
                name=field,
                number=number,
                label=kinds.LABEL_REPEATED if kind != single else kinds.LABEL_OPTIONAL,
            )
            if single in _FIELDS:
                declared.type = kinds.TYPE_MESSAGE
                declared.type_name = f".{package}.{single}"
            else:
                declared.type = getattr(kinds, f"TYPE_{single.upper()}")
            if name == "Metric" and field.endswith("_value"):
                declared.oneof_index = 0
        if name == "Metric":
            message.oneof_decl.add(name="value")
    pool = descriptor_pool.DescriptorPool()
    found = pool.AddSerializedFile(file.SerializeToString()) or pool.FindFileByName(file.name)
    return {
        name: message_factory.GetMessageClass(found.message_types_by_name[name]) for name in _FIELDS
    }


def encode(payload: Payload) -> bytes:
    """Write a payload."""
    wire = _classes()["Payload"](timestamp=payload.timestamp_ms, seq=payload.seq)
    for metric in payload.metrics:
        _write(metric, wire.metrics.add())
    return bytes(wire.SerializeToString())


def _write(metric: Metric, wire: Any) -> None:
    given = {
        "name": metric.name,
        "alias": metric.alias,
        "timestamp": metric.timestamp_ms,
        "datatype": metric.datatype,
        "is_historical": metric.is_historical or None,
    }
    for field, said in given.items():
        if said is not None:
            setattr(wire, field, said)
    if metric.unit is not None:
        wire.properties.keys.append(_ENGINEERING_UNIT)
        wire.properties.values.add(type=DataType.STRING, string_value=metric.unit)
    if metric.value is None:
        wire.is_null = True
        return
    field = (
        _FIELD_OF_KIND[type(metric.value)]
        if metric.datatype is None
        else _VALUE_FIELD[DataType(metric.datatype)]
    )
    bits = _VALUE_BITS.get(field)
    setattr(wire, field, metric.value if bits is None else int(metric.value) % (1 << bits))


def decode(data: bytes) -> Payload:
    """Read a payload; whatever is none is a PayloadError."""
    from google.protobuf.message import DecodeError

    wire = _classes()["Payload"]()
    try:
        wire.ParseFromString(data)
        return Payload(
            timestamp_ms=_given(wire, "timestamp"),
            metrics=tuple(_read(metric) for metric in wire.metrics),
            seq=_given(wire, "seq"),
        )
    except (DecodeError, UnicodeDecodeError) as error:
        raise PayloadError(f"{len(data)} bytes are no Sparkplug B payload: {error}") from None


def _given(wire: Any, field: str | None) -> Any:
    if field is None or not wire.HasField(field):
        return None
    value = getattr(wire, field)
    # A string that is not UTF-8 is handed over in bytes; decoding it says what is wrong.
    return value.decode() if isinstance(value, bytes) else value


def _read(wire: Any) -> Metric:
    datatype = _given(wire, "datatype")
    field = None if wire.is_null else wire.WhichOneof("value")
    value = _given(wire, field)
    bits = _VALUE_BITS.get(field or "")
    if bits is not None and datatype in _SIGNED and value >> (bits - 1):
        value -= 1 << bits
    units = {
        key: _given(said, "string_value")
        for key, said in zip(wire.properties.keys, wire.properties.values, strict=False)
    }
    return Metric(
        name=_given(wire, "name"),
        alias=_given(wire, "alias"),
        timestamp_ms=_given(wire, "timestamp"),
        datatype=datatype,
        value=value,
        unit=units.get(_ENGINEERING_UNIT),
        is_historical=wire.is_historical,
    )
