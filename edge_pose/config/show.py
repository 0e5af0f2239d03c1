"""Settings as text: what holds and where it came from, and a commented file to start from."""

import json
import textwrap
from collections.abc import Iterator
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Literal, get_args, get_origin, get_type_hints

from edge_pose.config import Config
from edge_pose.config.read import Effective, KnownKey, keys, variable
from edge_pose.log import redact


def effective_text(effective: Effective) -> str:
    """Print every key with its value and origin, secrets redacted."""
    rows = [
        (name, _value_text(_value(effective.config, name)), effective.origins[name])
        for name in keys()
    ]
    name_width = max(len(name) for name, _, _ in rows)
    value_width = max(len(value) for _, value, _ in rows)
    return "\n".join(f"{n:{name_width}} = {v:{value_width}}  # {o}" for n, v, o in rows)


def default_text() -> str:
    """Write a TOML file in which every key stands with its meaning, commented out."""
    return "\n".join(_default_lines()) + "\n"


def _default_lines() -> Iterator[str]:
    yield "# Settings of edge-pose.  The command line and EDGE_POSE_ variables win over this file."
    for section, kind in get_type_hints(Config).items():
        yield from ("", f"# {kind.__doc__}", f"[{section}]")
        for name, known in keys().items():
            if not name.startswith(f"{section}."):
                continue
            note = f"{known.key.meaning}. ({variable(name)})"
            yield from textwrap.wrap(note, 96, initial_indent="# ", subsequent_indent="# ")
            yield f"#{name.partition('.')[2]} = {_example(known)}"


def _example(known: KnownKey) -> str:
    if known.key.example is not None:
        return known.key.example
    if known.default is not None:
        return _value_text(known.default)
    if known.wanted in (int, float):
        return f"{known.key.minimum:g}"
    if get_origin(known.wanted) is Literal:
        return _value_text(get_args(known.wanted)[0])
    return '"..."'


def _value(config: Config, name: str) -> object:
    section, _, key = name.partition(".")
    return getattr(getattr(config, section), key)


def _value_text(value: object) -> str:
    if value is None:
        return "not set"
    if isinstance(value, str | Path):
        return json.dumps(redact(str(value)), ensure_ascii=False)
    return json.dumps(value, default=_plain)


def _plain(value: object) -> object:
    assert is_dataclass(value)
    assert not isinstance(value, type)
    return asdict(value)
