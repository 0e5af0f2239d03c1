"""The appliance's kernel on a processor: its very source, compiled by g++, run thread by thread.

In: the source, and what a launch is given, pointers as NumPy arrays.  Out: what the kernel wrote
into them.
"""

import ctypes
import shutil
import subprocess
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
import pytest

_RUNNER: Final = Path(__file__).with_name("kernel_on_processor.cpp")
_ONLY: Final = ["-O2", "-std=c++14", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror"]
_Three = tuple[int, int, int]


@cache
def compiled(source: str) -> ctypes.CDLL:
    """Compile a kernel; the test that needs it is skipped where there is no compiler."""
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("g++ is not here; scripts/install dev installs it")
    with TemporaryDirectory() as folder:
        (Path(folder) / "preprocess.cu").write_text(source, encoding="utf-8")
        library = Path(folder) / "kernel.so"
        done = subprocess.run(
            [compiler, *_ONLY, "-I", folder, str(_RUNNER), "-o", str(library)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return ctypes.CDLL(str(library))


def launch(source: str, grid: _Three, block: _Three, *arguments: float | np.ndarray) -> None:
    """Run every thread of every block."""
    compiled(source).launch(
        (ctypes.c_uint * 3)(*grid), (ctypes.c_uint * 3)(*block), *map(_passed, arguments)
    )


def size_of_cut(source: str) -> int:
    """Tell how many bytes the kernel takes for one person."""
    return int(compiled(source).size_of_cut())


def _passed(argument: float | np.ndarray) -> object:
    if isinstance(argument, np.ndarray):
        return ctypes.c_void_p(argument.ctypes.data)
    return ctypes.c_int(argument) if isinstance(argument, int) else ctypes.c_float(argument)
