"""`edge-pose config`: show the settings that hold with their origin, or write a first file."""

import sys
from argparse import Namespace
from pathlib import Path

from edge_pose.config.read import Effective
from edge_pose.config.show import default_text, effective_text
from edge_pose.errors import EXIT_OK, ConfigError


def main(settings: Effective, arguments: Namespace) -> int:
    """Print to standard output, or write the file named."""
    if arguments.write is None:
        sys.stdout.write(effective_text(settings) + "\n")
    else:
        write(arguments.write)
    return EXIT_OK


def write(path: Path) -> None:
    """Write the commented defaults, never over something."""
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(default_text())
    except FileExistsError:
        raise ConfigError(f"{path} exists; name a new file, or remove it first") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from None
    sys.stderr.write(f"Wrote {path}; `edge-pose run --config {path}` uses it.\n")
