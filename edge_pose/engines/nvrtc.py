"""From a kernel's source to code for one GPU: the only file that knows NVRTC, CUDA's own compiler.

In: CUDA C and a compute capability.  Out: a cubin.  NVRTC is a library: no compiler need be on the
path, which a service does not have, and no GPU either.
"""

import ctypes
from contextlib import suppress
from itertools import product
from pathlib import Path
from typing import Any, Final

from edge_pose.errors import EXIT_OPERATOR, EdgePoseError

_NAMES: Final = ("libnvrtc.so", "libnvrtc.so.13", "libnvrtc.so.12")
_FOLDERS: Final = ("", "/usr/local/cuda/lib64/")
"""Where the loader looks by itself, and where JetPack and NVIDIA's packages put it."""


class KernelError(EdgePoseError):
    """A kernel cannot be compiled here; what it does must be done on the CPU."""

    exit_code = EXIT_OPERATOR


def compile_kernel(source: str, compute_capability: str, *, library: Any = None) -> bytes:
    """Return code for GPUs of one compute capability, such as 8.7; `library` is NVRTC itself."""
    nvrtc = library or load_library()
    target = f"sm_{compute_capability.replace('.', '')}"
    options = [f"--gpu-architecture={target}".encode(), b"--std=c++14"]
    program = ctypes.c_void_p()
    code = nvrtc.nvrtcCreateProgram(
        ctypes.byref(program), source.encode(), b"preprocess.cu", 0, None, None
    )
    if code:
        raise KernelError(
            f"NVRTC does not start (error {code}); the CPU goes on; check the CUDA toolkit"
        )
    try:
        code = nvrtc.nvrtcCompileProgram(
            program, len(options), (ctypes.c_char_p * len(options))(*options)
        )
        if code:
            said = _bytes_of(nvrtc.nvrtcGetProgramLogSize, nvrtc.nvrtcGetProgramLog, program)
            first = said.rstrip(b"\0").decode(errors="replace").strip().splitlines()[:1]
            raise KernelError(
                f"NVRTC cannot compile for {target} (error {code}): "
                f"{first[0] if first else 'it gives no reason'}; the CPU goes on; "
                "install the CUDA toolkit that belongs to this GPU"
            )
        return _bytes_of(nvrtc.nvrtcGetCUBINSize, nvrtc.nvrtcGetCUBIN, program)
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))


def load_library() -> Any:
    """Find NVRTC, or raise a `KernelError` that says what to install."""
    for folder, name in product(_FOLDERS, _NAMES):
        with suppress(OSError):
            library = ctypes.CDLL(folder + name)
            # It asks the loader for this one, who may not look there; what is loaded is found.
            for beside in Path(folder).glob("libnvrtc-builtins.so.*") if folder else ():
                ctypes.CDLL(str(beside))
            return library
    raise KernelError(
        f"NVRTC is not here ({', '.join(_NAMES)} cannot be loaded); the CPU goes on; "
        "install the CUDA toolkit (JetPack: cuda-nvrtc)"
    )


def _bytes_of(size_of: Any, copy: Any, program: ctypes.c_void_p) -> bytes:
    """Ask how long an answer is, then for the answer."""
    size = ctypes.c_size_t()
    if code := size_of(program, ctypes.byref(size)):
        raise KernelError(f"NVRTC does not answer (error {code}); the CPU goes on; report this")
    answer = ctypes.create_string_buffer(size.value)
    if code := copy(program, answer):
        raise KernelError(f"NVRTC does not answer (error {code}); the CPU goes on; report this")
    return answer.raw
