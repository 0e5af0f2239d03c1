"""Log lines on standard error: with journald priorities under systemd, never with a password."""

import logging
import os
import re
import sys
from collections.abc import Mapping
from typing import Final, TextIO

LOGGER: Final = logging.getLogger("edge_pose")
"""Ancestor of the logger of every module."""

_CREDENTIALS: Final = re.compile(r"(?<=://)[^\s/]*@")
_SECRET_PARAMETER: Final = re.compile(
    r"(?i)(?<=[?&])((?:[a-z_]*(?:pass|pwd|token|secret)[a-z_]*)=)[^&\s]+"
)
_PRIORITIES: Final = (
    (logging.CRITICAL, 2),
    (logging.ERROR, 3),
    (logging.WARNING, 4),
    (logging.INFO, 6),
)
_DEBUG_PRIORITY: Final = 7


def redact(text: str) -> str:
    """Replace user names and passwords in URLs by `***`."""
    return _SECRET_PARAMETER.sub(r"\1***", _CREDENTIALS.sub("***@", text))


class _Formatter(logging.Formatter):
    """Redacts every line; `<N>` in front tells journald the priority of each line of a record."""

    def __init__(self, *, journal: bool) -> None:
        super().__init__(
            "%(message)s" if journal else "%(asctime)s %(levelname)s %(message)s", "%H:%M:%S"
        )
        self._journal = journal

    def format(self, record: logging.LogRecord) -> str:
        text = redact(super().format(record))
        if not self._journal:
            return text
        priority = next((p for level, p in _PRIORITIES if record.levelno >= level), _DEBUG_PRIORITY)
        return "\n".join(f"<{priority}>{line}" for line in text.splitlines())


def is_journal(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Tell whether the stream is the one that systemd connected to the journal."""
    named = environ.get("JOURNAL_STREAM")
    if not named:
        return False
    status = os.fstat(stream.fileno())
    return named == f"{status.st_dev}:{status.st_ino}"


def configure(
    level: str = "info", *, stream: TextIO | None = None, journal: bool | None = None
) -> None:
    """Send the log of the appliance to one stream; calling again replaces the former setting."""
    stream = stream or sys.stderr
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        _Formatter(journal=is_journal(stream, os.environ) if journal is None else journal)
    )
    LOGGER.handlers = [handler]
    LOGGER.setLevel(level.upper())
    LOGGER.propagate = False
