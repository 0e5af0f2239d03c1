"""From a TOML file, the environment and the command line to one checked Config with its origins."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from types import MappingProxyType, NoneType, UnionType
from typing import Any, Final, Literal, Union, get_args, get_origin, get_type_hints

from edge_pose.config import Config, Key
from edge_pose.config.rules import check_rules
from edge_pose.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PREFIX: Final = "EDGE_POSE_"
CONFIG_VARIABLE: Final = f"{PREFIX}CONFIG"
DEFAULT: Final = "default"
_MOST: Final = 1e15
_LONGEST_SHOWN: Final = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A value and who said it: `--camera`, `EDGE_POSE_CAMERA_SOURCE`, or a file and its key."""

    value: object
    origin: str
    is_text: bool = True
    """Text from a shell; a file knows numbers and truth values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effective:
    """The settings that hold, and for each key path where its value came from."""

    config: Config
    origins: Mapping[str, str]
    again: Callable[[], "Effective"] = field(compare=False, repr=False)
    """Reads them once more from where they came."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownKey:
    """One key as the section dataclasses declare it."""

    key: Key
    wanted: Any
    """Its type, without the None that stands for not set."""
    default: object


@cache
def keys() -> Mapping[str, KnownKey]:
    """Give every key path, such as `camera.source`, with what is known about it."""
    found = {}
    for section, kind in get_type_hints(Config).items():
        hints = get_type_hints(kind, include_extras=True)
        for item in fields(kind):
            found[f"{section}.{item.name}"] = _known(hints[item.name], item.default)
    return MappingProxyType(found)


def _known(annotated: Any, default: object) -> KnownKey:
    kind, key = get_args(annotated)
    optional = get_origin(kind) in (Union, UnionType)
    wanted = next(k for k in get_args(kind) if k is not NoneType) if optional else kind
    return KnownKey(key=key, wanted=wanted, default=None if default is MISSING else default)


def load(
    command_line: Mapping[str, Setting], *, environ: Mapping[str, str], path: Path | None = None
) -> Effective:
    """Merge by precedence: command line, then environment, then file, then default."""
    if path is None and environ.get(CONFIG_VARIABLE):
        path = Path(environ[CONFIG_VARIABLE])
    given = {
        **(_from_file(path) if path is not None else {}),
        **_from_environment(environ),
        **command_line,
    }
    sections: dict[str, dict[str, object]] = {}
    origins: dict[str, str] = {}
    for name, known in keys().items():
        section, _, short = name.partition(".")
        values = sections.setdefault(section, {})
        if name in given:
            values[short] = _checked(given[name], name=name, known=known)
        origins[name] = given[name].origin if name in given else DEFAULT
    kinds = get_type_hints(Config)
    config = Config(**{section: kinds[section](**values) for section, values in sections.items()})
    check_rules(config, origins)
    return Effective(
        config=config,
        origins=origins,
        again=lambda: load(command_line, environ=environ, path=path),
    )


def _from_file(path: Path) -> dict[str, Setting]:
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            f"There is no configuration file {path}; "
            f"`edge-pose config --write {path}` writes one to start from"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"The configuration file {path} cannot be read: {error}") from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"The configuration file {path} is not TOML: {error}") from None
    known = keys()
    sections = sorted({name.partition(".")[0] for name in known})
    found: dict[str, Setting] = {}
    for section, table in tables.items():
        if section not in sections:
            raise ConfigError(f"{path} has no use for {section!r}; {_advice(section, sections)}")
        if not isinstance(table, dict):
            raise ConfigError(
                f"{path}: {section!r} is a section; write [{section}] and keys below it"
            )
        for key, value in table.items():
            name = f"{section}.{key}"
            if name not in known:
                here = [k.partition(".")[2] for k in known if k.startswith(f"{section}.")]
                raise ConfigError(f"{path}: [{section}] has no key {key!r}; {_advice(key, here)}")
            found[name] = Setting(value=value, origin=f"{path} [{section}] {key}", is_text=False)
    return found


def _from_environment(environ: Mapping[str, str]) -> dict[str, Setting]:
    names = {variable(name): name for name in keys()}
    found: dict[str, Setting] = {}
    for name, text in environ.items():
        if not name.startswith(PREFIX) or name == CONFIG_VARIABLE or not text:
            continue
        if name not in names:
            raise ConfigError(
                f"The environment sets {name}, which is no setting; {_advice(name, [*names])}"
            )
        found[names[name]] = Setting(value=text, origin=name)
    return found


def variable(name: str) -> str:
    """Name the environment variable of a key path."""
    return PREFIX + name.replace(".", "_").upper()


def _advice(wrong: str, known: list[str]) -> str:
    hint = get_close_matches(wrong, known, n=1)
    return f"did you mean {hint[0]!r}?" if hint else f"known are {', '.join(known)}"


def _checked(given: Setting, *, name: str, known: KnownKey) -> object:
    read = _from_text if given.is_text else _from_toml
    value = read(given.value, known.wanted)
    if value is None:
        wanted = _words(known.wanted)
        raise ConfigError(f"{given.origin}: {name} is {_shown(given.value)}; wanted {wanted}")
    if isinstance(value, str | Path) and "\0" in str(value):
        raise ConfigError(f"{given.origin}: {name} contains a zero byte; write it without")
    if isinstance(value, int | float) and not isinstance(value, bool):
        # Not a number is on neither side of a limit, and nothing can be done with infinity.
        if not -_MOST <= value <= _MOST:
            shown = _shown(value)
            raise ConfigError(f"{given.origin}: {name} is {shown}; wanted a number one can use")
        low, high = known.key.minimum, known.key.maximum
        if (low is not None and value < low) or (high is not None and value > high):
            limits = {"at least": low, "at most": high}
            wanted = " and ".join(f"{w} {n:g}" for w, n in limits.items() if n is not None)
            raise ConfigError(f"{given.origin}: {name} is {value}; wanted {wanted}")
    return value


def _shown(value: object) -> str:
    """Repeat what was given, as far as a person would read it."""
    try:
        text = repr(value)
    except ValueError:  # Python does not write out numbers of thousands of digits
        return "far too large"
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"


def _from_text(given: object, wanted: Any) -> object | None:
    text = str(given)
    if get_origin(wanted) is Literal:
        return text if text in get_args(wanted) else None
    if wanted is bool:
        return {"true": True, "false": False, "1": True, "0": False}.get(text.lower())
    try:
        value: object = wanted(text)
    except ValueError:
        return None
    return value


def _from_toml(value: object, wanted: Any) -> object | None:
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if wanted is str and isinstance(value, int) and not isinstance(value, bool):
        return (
            str(value) if abs(value) <= _MOST else None
        )  # source = 0 is how one writes the first camera
    if isinstance(value, str) and wanted is not str:
        return (
            _from_text(value, wanted) if wanted is Path or get_origin(wanted) is Literal else None
        )
    if isinstance(value, bool) and wanted is not bool:
        return None
    return value if get_origin(wanted) is None and isinstance(value, wanted) else None


def _words(wanted: Any) -> str:
    if get_origin(wanted) is Literal:
        return " or ".join(repr(choice) for choice in get_args(wanted))
    named = {bool: "true or false", int: "a whole number", float: "a number", Path: "a path"}
    return named.get(wanted, "text")
