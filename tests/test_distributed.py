"""Several processes that share a step end where one with the whole batch does."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from train.distributed import Place, place
from train.fit import averaged

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = str(ROOT / "tests" / "training_program.py")
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


def run(starter: list[str], folder: Path, *words: str) -> tuple[int, str]:
    """Return the exit code and what was said."""
    done = subprocess.run(
        [*starter, PROGRAM, str(folder), *words],
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    return done.returncode, done.stderr


def steps(folder: Path) -> list[list[float]]:
    lines = (folder / "losses.csv").read_text().split()[1:]
    return [[float(number) for number in line.split(",")] for line in lines]


@pytest.mark.slow  # five processes import torch
@pytest.mark.timeout(300)
def test_two_processes_of_torchrun_do_what_one_does_with_the_doubled_batch(tmp_path: Path) -> None:
    """In the middle one is left alone, with two portions a step; nobody can tell from the end."""
    still = ("--dropout", "0")
    code, said = run([sys.executable], tmp_path / "one", *still, "--batch-size", "8")
    assert code == 0, said
    # Batch 130 is the 65th of the first process: the checkpoint of step 60 is the last.
    code, said = run(TORCHRUN, tmp_path / "two", *still, "--broken-at", "130")
    assert code == 1
    assert "picture 7 is broken; remove it" in said
    assert '"step": 60' in (tmp_path / "two" / "last.json").read_text()
    code, said = run([sys.executable], tmp_path / "two", *still, "--accumulate", "2")
    assert code == 0, said
    one, two = averaged(tmp_path / "one"), averaged(tmp_path / "two")
    for name, value in one.items():
        assert torch.allclose(two[name], value, rtol=0, atol=1e-5), name
    assert torch.allclose(
        torch.tensor(steps(tmp_path / "two")), torch.tensor(steps(tmp_path / "one")), rtol=1e-4
    )


def test_alone_this_process_is_the_first_and_only_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    assert place() == Place(rank=0, processes=1, local_rank=0)
    assert place().leads
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("WORLD_SIZE", "8")
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert place() == Place(rank=3, processes=8, local_rank=1)
    assert not place().leads
