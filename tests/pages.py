"""Commands that our pages show: as words, and as what their programs understand of them.

In: pages in Markdown.  Out: complete commands, as lists of words; options, as the program's own
parser reads them.
"""

import argparse
import re
import shlex
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Final

import pytest

from edge_pose.__main__ import parsers

ROOT: Final = Path(__file__).resolve().parents[1]
LOG: Final = ROOT / "docs" / "log.md"
PAGES: Final = (ROOT / "README.md", *sorted(set((ROOT / "docs").glob("*.md")) - {LOG}))
"""The log tells what was run at the time, with the options of that time."""
_BLOCK: Final = re.compile(r"^```(\w+)\n(.*?)^```\n", re.MULTILINE | re.DOTALL)
_INDENTED: Final = re.compile(r"^ {4}(\S.*)$", re.MULTILINE)
_INLINE: Final = re.compile(r"`([^`]+)`")
_PROGRAM: Final = re.compile(
    r"(?:python -m (?:train|export) [a-z]+|python -m (?:export|benchmarks)\.\w+|edge-pose [a-z]+)\b"
)
_WHERE: Final = re.compile(r"^(?:sudo )?(?:\S*/)?(?=edge-pose )")
_LEFT_OUT: Final = "…"
_SIGNED: Final = "edge-pose bundle 1"
"""What stands in a signature (docs/bundle.md); nobody types it."""


def blocks_of(page: str, language: str) -> list[str]:
    """Find the blocks of one language."""
    return [text for named, text in _BLOCK.findall(page) if named == language]


def commands_in(page: str) -> list[list[str]]:
    """Find what can be run as it stands: in blocks, and where more than a name stands in a line."""
    blocks = blocks_of(page, "sh")
    rest = _BLOCK.sub("", page)
    lines = [line for text in blocks for line in text.replace("\\\n", " ").splitlines()]
    lines = [_WHERE.sub("", line) for line in (*lines, *_INDENTED.findall(rest))]
    shown = [line for line in lines if _PROGRAM.match(line)]
    for span in (" ".join(span.split()) for span in _INLINE.findall(rest)):
        name = _PROGRAM.match(span)
        if name is not None and span[name.end() :].strip() and span != _SIGNED:
            shown.append(span)
    return [shlex.split(line, comments=True) for line in shown if _LEFT_OUT not in line]


class _ParsedError(Exception):
    """The program has read its command line; it need not do any more."""


def understood(words: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> argparse.Namespace:
    """Let a command's own program read it, and end the program there.

    Raises:
        SystemExit: the program does not understand it.

    """
    if words[0] == "edge-pose":
        return parsers()[0].parse_args(words[1:])
    read = argparse.ArgumentParser.parse_args
    found: list[argparse.Namespace] = []

    def parse_args(
        parser: argparse.ArgumentParser,
        args: Sequence[str] | None = None,
        namespace: None = None,
    ) -> argparse.Namespace:
        found.append(read(parser, args, namespace))
        raise _ParsedError

    module = words[2]
    is_package = (ROOT / Path(*module.split("."))).is_dir()
    program = import_module(f"{module}.__main__" if is_package else module)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "argv", [module, *words[3:]])
        patch.setattr(argparse.ArgumentParser, "parse_args", parse_args)
        with pytest.raises(_ParsedError):
            program.main()
    return found[0]
