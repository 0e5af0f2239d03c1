"""Results on disk: JSON, written whole, read strictly, several files put together.

In: paths of files, each with any of the fields of `Results`; a file that somebody writes by hand
with `rules` alone is one too.  Out: one checked `Results`, or a `ConfigError` that names file, key
and remedy.
"""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, fields, is_dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from types import NoneType, UnionType
from typing import Final, TypeVar, get_args, get_origin, get_type_hints

from edge_pose.errors import ConfigError
from train.report_results import ORACLE, SOURCE_ONLY, Results, Row, Rules

_SAME: Final = 1e-3
"""Relative difference that rounding may leave between a value and the sums it is made of."""
_Kind = TypeVar("_Kind")


def write_results(path: Path, results: Results) -> None:
    """Write JSON that `read_results` reads; the file is whole or not there."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(asdict(results), indent=1, allow_nan=False), encoding="utf-8")
    part.replace(path)


def read_results(paths: Sequence[Path]) -> Results:
    """Read files and put them together; the first title counts."""
    parts = [_read_file(path) for path in paths]
    together = Results(
        title=next((part.title for part in parts if part.title), "Adaptation report"),
        rows=tuple(row for part in parts for row in part.rows),
        higher_is_better=tuple(sorted({m for part in parts for m in part.higher_is_better})),
        stages=tuple(stage for part in parts for stage in part.stages),
        representation=tuple(row for part in parts for row in part.representation),
        reliability=tuple(row for part in parts for row in part.reliability),
        costs=tuple(cost for part in parts for cost in part.costs),
        data=tuple(dict.fromkeys(data for part in parts for data in part.data)),
        provenance=tuple(dict.fromkeys(origin for part in parts for origin in part.provenance)),
        pictures=tuple(picture for part in parts for picture in part.pictures),
        rules=Rules(
            improvements=tuple(rule for part in parts for rule in part.rules.improvements),
            forgetting=tuple(rule for part in parts for rule in part.rules.forgetting),
        ),
    )
    _check_rows(together.rows)
    _check_rules(together)
    return together


def _read_file(path: Path) -> Results:
    try:
        table = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"Results {path} cannot be read: {error}; name a results file") from None
    except ValueError as error:
        raise ConfigError(f"Results {path} are not JSON: {error}; write them again") from None
    results = _read(Results, table, str(path))
    pictures = tuple(
        replace(picture, path=str(path.parent / picture.path)) for picture in results.pictures
    )
    return replace(results, pictures=pictures)


def _refuse_constant(word: str) -> float:
    raise ValueError(f"{word} is no number in JSON")


def _check_rows(rows: Sequence[Row]) -> None:
    keys = Counter((row.method, row.seed, row.domain, row.metric) for row in rows)
    for (method, seed, domain, metric), times in keys.items():
        if times > 1:
            raise ConfigError(
                f"{method} with seed {seed} on {domain} has {times} values of {metric}, wanted "
                "one; leave out the older results"
            )
    first: dict[tuple[str, str], Row] = {}
    for row in rows:
        _check_row(row)
        if row.group_sums:
            other = first.setdefault((row.domain, row.metric), row)
            if len(other.group_sums) != len(row.group_sums):
                raise ConfigError(
                    f"{row.name} measured {row.metric} on {len(row.group_sums)} groups of "
                    f"{row.domain}, {other.name} on {len(other.group_sums)}; "
                    "measure both on the same pictures"
                )


def _check_row(row: Row) -> None:
    where = f"{row.name}: {row.metric} on {row.domain}"
    if len(row.group_sums) != len(row.group_counts):
        raise ConfigError(
            f"{where} has {len(row.group_sums)} sums of groups and {len(row.group_counts)} counts, "
            "wanted as many; write the row with `measured`"
        )
    if row.interval is not None and not row.interval[0] <= row.value <= row.interval[1]:
        raise ConfigError(f"{where} is {row.value}, outside of its interval {list(row.interval)}")
    if row.group_sums:
        mean = sum(row.group_sums) / max(sum(row.group_counts), 1)
        if not math.isclose(mean, row.value, rel_tol=_SAME, abs_tol=_SAME):
            raise ConfigError(
                f"{where} is {row.value}, but its groups give {mean:.4f}; "
                "write the row with `measured`"
            )


def _check_rules(results: Results) -> None:
    for rule in results.rules.improvements:
        if rule.method in (SOURCE_ONLY, ORACLE):
            raise ConfigError(
                f"A rule asks {rule.method!r} to improve, which is a yardstick; name a method"
            )
        for key in ("method", "domain", "metric"):
            known = sorted({getattr(row, key) for row in results.rows})
            _check_known(getattr(rule, key), known, f"A rule names the {key}")
    for bound in results.rules.forgetting:
        for key in ("run", "metric"):
            known = sorted({getattr(stage, key) for stage in results.stages})
            _check_known(getattr(bound, key), known, f"A rule on forgetting names the {key}")


def _check_known(value: str, known: Sequence[str], who: str) -> None:
    if value not in known:
        raise ConfigError(f"{who} {value!r}, which was not measured; {_advice(value, known)}")


def _advice(value: str, known: Sequence[str]) -> str:
    close = get_close_matches(value, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known) or 'none'}"


def _read(kind: type[_Kind], value: object, where: str) -> _Kind:
    if not isinstance(value, dict):
        raise ConfigError(f"{where} is {type(value).__name__}, wanted an object")
    assert is_dataclass(kind)
    hints = get_type_hints(kind)
    known = {item.name: item for item in fields(kind)}
    for key in value:
        if key not in known:
            raise ConfigError(f"{where} has an unknown key {key!r}; {_advice(key, list(known))}")
    missing = [
        name
        for name, item in known.items()
        if item.default is MISSING and item.default_factory is MISSING and name not in value
    ]
    if missing:
        raise ConfigError(f"{where} lacks {', '.join(missing)}; add it")
    return kind(
        **{key: _convert(hints[key], item, f"{where}: {key}") for key, item in value.items()}
    )


def _convert(hint: object, value: object, where: str) -> object:
    """Turn one JSON value into what the field's type asks for."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is UnionType:
        wanted = next(kind for kind in arguments if kind is not NoneType)
        return None if value is None else _convert(wanted, value, where)
    if isinstance(hint, type) and is_dataclass(hint):
        return _read(hint, value, where)
    if origin is tuple and isinstance(value, list):
        if arguments[-1] is not Ellipsis and len(value) != len(arguments):
            raise ConfigError(f"{where} has {len(value)} entries, wanted {len(arguments)}")
        return tuple(
            _convert(arguments[0], item, f"{where}[{place}]") for place, item in enumerate(value)
        )
    if origin is dict and isinstance(value, Mapping):
        return {str(key): _convert(arguments[1], v, f"{where}: {key}") for key, v in value.items()}
    if hint is float and type(value) is int:
        return float(value)
    if isinstance(hint, type) and type(value) is hint:
        return value
    raise ConfigError(f"{where} is {value!r}, wanted {getattr(hint, '__name__', hint)}")
