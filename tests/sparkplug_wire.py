"""What an edge node was seen to send, read with nothing but the published numbers of the fields.

No line of this reader comes from the code that is examined, so that a number which is wrong there
is not wrong here too.
"""

import struct
from dataclasses import dataclass

NAME, ALIAS, TIMESTAMP, DATATYPE, HISTORICAL, NULL, PROPERTIES = 1, 2, 3, 4, 5, 7, 9
INT, LONG, FLOAT, DOUBLE, BOOLEAN, STRING, DATASET, TEMPLATE = 10, 11, 12, 13, 14, 15, 17, 18
VALUES = range(10, 20)
INT64_TYPE, BOOLEAN_TYPE, STRING_TYPE = 4, 11, 12

Fields = dict[int, list[int | bytes]]


def fields(data: bytes) -> Fields:
    """Take a message apart: the values of each field by its number."""
    found: Fields = {}
    at = 0

    def number() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(data):
        key = number()
        kind = key & 7
        if kind == 0:
            found.setdefault(key >> 3, []).append(number())
            continue
        size = {1: 8, 5: 4}.get(kind) or number()
        found.setdefault(key >> 3, []).append(data[at : at + size])
        at += size
    return found


class MetricSeen:
    """One metric, as it lay on the wire."""

    def __init__(self, data: bytes) -> None:
        self.fields = fields(data)

    def number(self, field: int) -> int | None:
        """Give a whole number, None when it was not said."""
        (value,) = self.fields.get(field, [None])
        assert value is None or isinstance(value, int)
        return value

    def text(self, field: int) -> str | None:
        """Give a text, None when it was not said."""
        (value,) = self.fields.get(field, [None])
        assert value is None or isinstance(value, bytes)
        return None if value is None else value.decode()

    @property
    def name(self) -> str | None:
        """Give the name, None when only an alias was said."""
        return self.text(NAME)

    @property
    def value(self) -> int | float | str | None:
        """The one value; None stands for null, and nothing else may say that."""
        (field,) = [f for f in (NULL, *VALUES) if f in self.fields]
        (value,) = self.fields[field]
        if field == NULL:
            assert value == 1
            return None
        if field == FLOAT:
            assert isinstance(value, bytes)
            single: float = struct.unpack("<f", value)[0]
            return single
        return value.decode() if isinstance(value, bytes) else value

    @property
    def properties(self) -> list[tuple[str, Fields]]:
        """Names of the properties, each with the fields of its value."""
        if PROPERTIES not in self.fields:
            return []
        (data,) = self.fields[PROPERTIES]
        assert isinstance(data, bytes)
        pairs = fields(data)
        keys = [key.decode() for key in pairs[1] if isinstance(key, bytes)]
        values = [fields(value) for value in pairs[2] if isinstance(value, bytes)]
        return list(zip(keys, values, strict=True))


@dataclass(frozen=True)
class Said:
    """One message of the edge node."""

    session: int
    topic: str
    qos: int
    retain: bool
    payload: bytes

    @property
    def verb(self) -> str:
        """Tell its kind, such as NBIRTH."""
        return self.topic.split("/")[2]

    @property
    def fields(self) -> Fields:
        """Take the payload apart."""
        return fields(self.payload)

    def number(self, field: int) -> int | None:
        """Give a whole number of the payload: 1 is its time stamp, 3 its `seq`."""
        (value,) = self.fields.get(field, [None])
        assert value is None or isinstance(value, int)
        return value

    @property
    def timestamp_ms(self) -> int | None:
        """Tell when it was sent."""
        return self.number(1)

    @property
    def seq(self) -> int | None:
        """Give its number in the session."""
        return self.number(3)

    @property
    def metrics(self) -> list[MetricSeen]:
        """List its metrics in their order."""
        return [MetricSeen(m) for m in self.fields.get(2, []) if isinstance(m, bytes)]

    def metric(self, name: str) -> MetricSeen:
        """Give the one metric of this name."""
        (found,) = [metric for metric in self.metrics if metric.name == name]
        return found
