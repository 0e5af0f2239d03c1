"""Where the system manager lets the appliance keep what outlives it.

In: the environment.  Out: the first folder of systemd's `StateDirectory=`, or None where nobody
gave one; what is kept elsewhere then, each decides for itself.
"""

from collections.abc import Mapping
from pathlib import Path


def given_folder(environ: Mapping[str, str]) -> Path | None:
    """Name systemd's StateDirectory; it may list several, joined by colons (systemd.exec(5))."""
    given = environ.get("STATE_DIRECTORY")
    return Path(given.split(":")[0]) if given else None
