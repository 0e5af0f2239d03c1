"""What made a run: written beside it, and compared before somebody goes on with something else.

In: a table of names and texts (options, sizes of data sets).  Out: `recipe.json`, or a refusal that
names the first difference.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from edge_pose.errors import ConfigError

RECIPE: Final = "recipe.json"

FREE: Final = frozenset(
    {"accumulate", "batch_size", "command", "out", "preset", "steps", "tensorboard", "threads"}
    | {"workers"}
)
"""Where, how fast and in which portions a run is computed may change between two starts; so may
how long it is, upwards, which is looked at where the schedule is known.
"""


def refuse_another(
    folder: Path, before: Mapping[str, Any], now: Mapping[str, Any], *, free: frozenset[str] = FREE
) -> None:
    """Compare what both know.

    Raises:
        ConfigError: they differ; going on would give a run that no recipe describes.

    """
    for key in sorted(before.keys() & now.keys() - free):
        if str(before[key]) != str(now[key]):
            raise ConfigError(
                f"the run in {folder} began with {key} = {before[key]}, now it is {now[key]}; "
                "choose a new --out folder, or give what it began with"
            )


def read(folder: Path) -> dict[str, Any]:
    """Read the recipe of a run; empty where it has none."""
    path = folder / RECIPE
    return json.loads(path.read_text()) if path.exists() else {}


def remember(folder: Path, words: Mapping[str, Any]) -> None:
    """Add words to the recipe of a folder, which is made where it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    write(folder, {**read(folder), **words})


def write(folder: Path, recipe: Mapping[str, Any]) -> None:
    """Write the recipe of a run, whole or not at all."""
    part = folder / f"{RECIPE}.part"
    part.write_text(json.dumps({key: str(value) for key, value in recipe.items()}, indent=1))
    part.replace(folder / RECIPE)
