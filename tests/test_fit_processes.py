"""Training runs as real processes: killed, asked to stop, without room on the disk."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from train.checkpoint import read

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = [sys.executable, str(ROOT / "tests" / "training_program.py")]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
PATIENCE_S = 100

# Importing torch takes seconds, and each run is a process of its own.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start runs in groups of their own, of which none outlives the test."""
    with ExitStack() as stack:

        def begin(folder: Path, *words: str) -> subprocess.Popen[str]:
            process = subprocess.Popen(
                [*PROGRAM, str(folder), *words],
                env=ENVIRONMENT,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            return process

        yield begin


def finish(folder: Path, *words: str) -> None:
    done = subprocess.run(
        [*PROGRAM, str(folder), *words],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def wait_for_a_checkpoint(folder: Path, process: subprocess.Popen[str], *, after: int) -> None:
    """Wait until the process has saved a later step than `after`."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until and process.poll() is None:
        saved = read(folder)
        if saved is not None and saved.step > after:
            return
        time.sleep(0.01)
    raise AssertionError(process.communicate())


def step_of(folder: Path) -> int:
    saved = read(folder)
    return 0 if saved is None else saved.step


def result(folder: Path) -> tuple[bytes, str, str]:
    """Return everything that a run leaves."""
    return (
        (folder / "last.safetensors").read_bytes(),
        (folder / "last.json").read_text(),
        (folder / "losses.csv").read_text(),
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, str, str]:
    """Run once undisturbed, the data made by the loop itself."""
    folder = tmp_path_factory.mktemp("whole")
    finish(folder, "--steps", "200")
    return result(folder)


def test_killed_at_random_moments_it_ends_bit_by_bit_as_if_nothing_had_happened(
    tmp_path: Path, start: Start, whole: tuple[bytes, str, str]
) -> None:
    """With three data workers, too, where the undisturbed run had none."""
    words = ("--steps", "200", "--workers", "3", "--pause-s", "0.02")
    reached = []
    for pause_s in np.random.default_rng().uniform(0, 0.3, 3):
        process = start(tmp_path, *words)
        wait_for_a_checkpoint(tmp_path, process, after=step_of(tmp_path))
        time.sleep(pause_s)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        reached.append(step_of(tmp_path))
    assert 0 < reached[0] < reached[1] < reached[2] < 200
    finish(tmp_path, *words)
    assert result(tmp_path) == whole


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_asked_to_stop_it_saves_says_how_to_go_on_and_loses_nothing(
    tmp_path: Path, start: Start, whole: tuple[bytes, str, str], number: signal.Signals, code: int
) -> None:
    """The signal goes to the whole group, as a terminal and a supervisor send it: workers too."""
    words = ("--steps", "200", "--workers", "2")
    process = start(tmp_path, *words, "--pause-s", "0.02")
    wait_for_a_checkpoint(tmp_path, process, after=0)
    os.killpg(process.pid, number)
    _, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == code, said
    done = step_of(tmp_path)
    last = said.strip().splitlines()[-1]
    assert last == (
        f"{number.name} stopped the run after step {done} of 200, saved in {tmp_path}; "
        "the same command goes on from there"
    )
    assert "Traceback" not in said
    finish(tmp_path, *words)
    assert result(tmp_path) == whole


def test_a_full_disk_leaves_the_checkpoint_that_was_there(tmp_path: Path, start: Start) -> None:
    finish(tmp_path, "--steps", "20")
    before = (tmp_path / "last.safetensors").read_bytes()
    process = start(tmp_path, "--steps", "200", "--most-bytes", str(len(before) // 2))
    _, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1
    assert "took no checkpoint at step 30" in said.splitlines()[-1]
    assert "make room and start the same command again" in said.splitlines()[-1]
    assert (tmp_path / "last.safetensors").read_bytes() == before
    assert not (tmp_path / "last.part").exists()
    finish(tmp_path, "--steps", "20")


def test_what_a_data_worker_stumbles_over_is_said_in_its_own_words(
    tmp_path: Path, start: Start
) -> None:
    process = start(tmp_path, "--workers", "2", "--broken-at", "13")
    _, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1
    assert said.splitlines()[-1] == "picture 7 is broken; remove it"
    assert step_of(tmp_path) == 13


def test_a_killed_data_worker_is_named_and_the_steps_before_it_are_kept(
    tmp_path: Path, start: Start
) -> None:
    process = start(tmp_path, "--workers", "1", "--pause-s", "0.02")
    wait_for_a_checkpoint(tmp_path, process, after=10)
    while "\n20," not in (tmp_path / "losses.csv").read_text():
        time.sleep(0.01)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    for child in children:
        os.kill(int(child), signal.SIGKILL)
    _, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1, said
    assert "a process that makes batches was killed" in said.splitlines()[-1]
    assert step_of(tmp_path) > 20
