"""`python -m edge_pose.schema FOLDER`: a JSON Schema a message, and one AsyncAPI document."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from edge_pose.message import VERSION
from edge_pose.schema import NAMES, schema
from edge_pose.schema.asyncapi import document


def main(folder: Path) -> None:
    """Write all files."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        _write(folder / f"pose-{name}-{VERSION}.schema.json", schema(name))
    _write(folder / "asyncapi.json", document())


def _write(path: Path, table: Mapping[str, object]) -> None:
    path.write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
