"""Whether somebody asked that nobody be looked at: a flag that outlives the process.

Where systemd gives a StateDirectory, a file in it says so, whatever the camera is called; a restart
must not undo what may have been asked for the sake of somebody's privacy.
"""

import logging
from collections.abc import Mapping
from pathlib import Path

from edge_pose.state import given_folder

log = logging.getLogger(__name__)


class Pause:
    """Set and asked from any thread."""

    def __init__(self, path: Path | None = None) -> None:
        """Begin without a pause; `path` is the file, None where there is no place for one."""
        self._path = path
        self._on = False

    def __bool__(self) -> bool:
        return self._on

    def recall(self) -> None:
        """Begin a pause of which the file tells; where nobody could end it, leave it there."""
        self._on = self._on or any(path.exists() for path in self._files())

    def set(self, *, on: bool) -> None:
        """Begin or end the pause, at once."""
        self._on = on
        if self._path is None:
            return
        try:
            if on:
                self._path.touch(mode=0o600)
                return
            for path in self._files():
                path.unlink(missing_ok=True)
        except OSError as error:
            log.warning(
                "%s cannot be changed (%s): a restart will not know that the camera was %s",
                self._path,
                error.strerror,
                "paused" if on else "resumed",
            )

    def _files(self) -> list[Path]:
        """Name the file, and those that former versions named after the camera."""
        return [] if self._path is None else [self._path, *self._path.parent.glob("paused-*")]


def marker(environ: Mapping[str, str]) -> Path | None:
    """Name the file; None where there is no StateDirectory."""
    given = given_folder(environ)
    return given / "paused" if given else None
