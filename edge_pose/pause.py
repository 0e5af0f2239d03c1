"""Whether somebody asked that nobody be looked at: a flag that outlives the process.

Where systemd gives a StateDirectory, a file in it says so; a restart must not undo what may have
been asked for the sake of somebody's privacy.
"""

import logging
from collections.abc import Mapping
from pathlib import Path

log = logging.getLogger(__name__)


class Pause:
    """Set and asked from any thread."""

    def __init__(self, path: Path | None = None) -> None:
        """Begin as the file says; without one, and without a path, nobody has asked."""
        self._path = path
        self._on = path is not None and path.exists()

    def __bool__(self) -> bool:
        return self._on

    def set(self, *, on: bool) -> None:
        """Begin or end the pause, at once."""
        self._on = on
        if self._path is None:
            return
        try:
            if on:
                self._path.touch(mode=0o600)
            else:
                self._path.unlink(missing_ok=True)
        except OSError as error:
            log.warning(
                "%s cannot be changed (%s): a restart will not know that the camera was %s",
                self._path,
                error.strerror,
                "paused" if on else "resumed",
            )


def marker(environ: Mapping[str, str], camera: str) -> Path | None:
    """Name the file for a camera; None where there is no StateDirectory."""
    given = environ.get("STATE_DIRECTORY")
    return Path(given.split(":")[0]) / f"paused-{camera}" if given else None
