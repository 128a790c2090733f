"""Loading kernels.c: compiled once per machine, where there is a compiler. Nothing needs it."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import tempfile
from ctypes import CDLL, POINTER, Structure, c_float, c_int64, c_void_p
from functools import cache
from importlib.resources import files
from pathlib import Path

import torch
from torch import Tensor

from sharpen.core.records import digest
from sharpen.models.cache import cache_folder

COMPILERS = ("cc", "gcc", "clang")
OPTIONS = ("-O3", "-march=native", "-std=gnu11", "-fno-math-errno", "-fno-trapping-math", "-shared", "-fPIC")
SECONDS = 60
LANES = 8
"""Widths are multiples of so many numbers."""
BLOCK = 128
"""Tokens of a vocabulary that are summed up together."""


class LayerStruct(Structure):
    """`struct layer` of kernels.c."""

    _fields_ = (
        ("keys", c_void_p),
        ("values", c_void_p),
        ("columns", c_int64),
        ("told_keys", c_void_p),
        ("told_values", c_void_p),
        ("told_columns", c_int64),
    )


class PlaceStruct(Structure):
    """`struct place` of kernels.c."""

    _fields_ = (
        ("cosines", c_void_p),
        ("sines", c_void_p),
        ("positions", c_void_p),
        ("born", c_void_p),
        ("column", c_int64),
        ("prompts", c_void_p),
        ("lengths", c_void_p),
        ("rows", c_int64),
        ("heads", c_int64),
        ("groups", c_int64),
        ("width", c_int64),
        ("scores", c_void_p),
    )


@cache
def kernels() -> CDLL | None:
    """The kernels, or None where they cannot be compiled."""
    compiler = next(filter(None, map(shutil.which, COMPILERS)), None)
    if compiler is None:
        return None
    source = Path(str(files("sharpen.models"))) / "kernels.c"
    key = digest([source.read_text(encoding="utf-8"), compiler, _processor()])[:16]
    try:
        library = CDLL(str(_compiled(source, compiler, cache_folder() / f"kernels-{key}.so")))
    except (OSError, subprocess.SubprocessError):
        return None
    library.norm.argtypes = [*[c_void_p] * 3, c_float, c_void_p, c_int64, c_int64]
    library.gated.argtypes = [c_void_p, c_void_p, c_int64]
    library.attend.argtypes = [
        *[c_void_p] * 3,
        c_float,
        POINTER(LayerStruct),
        POINTER(PlaceStruct),
        c_void_p,
    ]
    library.draw.argtypes = [c_void_p, c_void_p, c_float, c_int64, c_int64, *[c_void_p] * 4]
    library.level.argtypes = [c_void_p, c_void_p, c_float, c_void_p, c_void_p, c_int64, c_int64]
    for function in (library.norm, library.gated, library.attend, library.draw, library.level):
        function.restype = None
    return library


def _compiled(source: Path, compiler: str, target: Path) -> Path:
    """The library, compiled unless it is there; another process may be at it, too."""
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            made = Path(folder) / target.name
            command = [compiler, *OPTIONS, "-o", str(made), str(source), "-lm"]
            subprocess.run(
                command, check=True, timeout=SECONDS, stdin=subprocess.DEVNULL, capture_output=True
            )
            os.replace(made, target)
    return target


def _processor() -> str:
    """What code for this very processor depends on."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    told = sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))})
    return "\n".join([platform.platform(), platform.machine(), platform.processor(), *told])


def kernels_for(like: Tensor) -> CDLL | None:
    """The kernels, for float32 on one thread of a CPU."""
    suits = like.device.type == "cpu" and like.dtype == torch.float32 and torch.get_num_threads() == 1
    return kernels() if suits else None
