"""Every command that a page shows is one that its program understands."""

import argparse
import re
import shlex
from importlib import import_module
from itertools import pairwise
from pathlib import Path

import pytest

from edge_pose.errors import ConfigError
from pages import PAGES, ROOT, commands_in, understood
from train.__main__ import COMMANDS
from train.presets import PRESETS
from train.pretrain_command import _settings

SHOWN = sorted(
    {shlex.join(words) for page in PAGES for words in commands_in(page.read_text("utf-8"))}
)
TRAINING = (ROOT / "docs" / "training.md").read_text("utf-8")
PRESETS_TOLD = re.compile(
    r"^(.*) take `--preset ([\w|-]+)`; `--steps`.* depart from it", re.MULTILINE
)
DEPARTING = {"--preset", "--steps", "--batch-size", "--accumulate", "--workers", "--precision"}
WRITING = {"--out", "--show", "--fit-scores", "--figures"}
WRITTEN_BY_HAND = {"work/card.md", "work/provenance.json"}


def test_commands_are_found_in_blocks_and_where_more_than_a_name_stands_in_a_line() -> None:
    page = """
Names: `edge-pose bench`, `python -m train adapt`. Left out: `edge-pose run … --output jsonl`.
In a line: `edge-pose bench --json
FILE`, and `python -m benchmarks.heads --workers WORKERS`.

    sudo /opt/edge-pose/bin/edge-pose check --config line-3.toml
    sudo edge-pose model list

```sh
pip install edge-pose
python -m train masks "a(1)" \\
  --show it.png   # to see
```
```console
$ edge-pose --help
```
"""
    assert commands_in(page) == [
        ["python", "-m", "train", "masks", "a(1)", "--show", "it.png"],
        ["edge-pose", "check", "--config", "line-3.toml"],
        ["edge-pose", "model", "list"],
        ["edge-pose", "bench", "--json", "FILE"],
        ["python", "-m", "benchmarks.heads", "--workers", "WORKERS"],
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        "edge-pose bench clip.mp4",
        "edge-pose bench --jason new.json",
        "python -m train lift --out work/lifted",
        "python -m export grahp --out work/graph",
        "python -m benchmarks.heads",
    ],
)
def test_what_a_program_does_not_understand_is_noticed(
    wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SystemExit):
        understood(shlex.split(wrong), monkeypatch)


@pytest.mark.parametrize("command", SHOWN)
def test_a_command_on_a_page_is_understood(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    understood(shlex.split(command), monkeypatch)


def test_the_first_stage_of_an_adaptation_takes_what_the_page_tells_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (words,) = (words for words in commands_in(TRAINING) if words[2:4] == ["train", "pretrain"])
    try:
        _settings(understood(words, monkeypatch))
    except ConfigError as error:
        pytest.fail(str(error))


def test_the_page_names_the_commands_of_training_whose_preset_can_be_departed_from() -> None:
    ((commands, presets),) = PRESETS_TOLD.findall(TRAINING)
    assert set(presets.split("|")) == set(PRESETS)
    able = set()
    for name, (module, _) in COMMANDS.items():
        parser = argparse.ArgumentParser()
        import_module(module).add_arguments(parser)
        if set(re.findall(r"--[\w-]+", parser.format_help())) >= DEPARTING:
            able.add(f"train {name}")
    assert set(re.findall(r"`([^`]+)`", commands)) == able


def test_what_a_command_of_the_page_reads_was_written_by_another_one() -> None:
    commands = commands_in(TRAINING)
    written: dict[Path, str] = {}
    for words in commands:
        for option, word in pairwise(words):
            if option in WRITING:
                written[Path(word)] = " ".join(words[2:4])
    for words in commands:
        for option, word in pairwise(words):
            path = Path(word)
            if option in WRITING or path.parts[0] != "work" or word in WRITTEN_BY_HAND:
                continue
            maker = next((place for place in (path, *path.parents) if place in written), None)
            assert maker is not None, f"{shlex.join(words)}: nobody has written {word}"
            if path.suffix == ".onnx":
                assert written[maker] == "export graph", f"{shlex.join(words)}: {word}"
