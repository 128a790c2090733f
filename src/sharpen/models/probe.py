"""What this machine is and how to compute on it: threads and number type are measured, then remembered.

More threads are not always faster: on shared cores their barriers spin against the neighbours. And on a CPU
without the instructions for it, bfloat16 is far slower than float32. A run's numbers depend on the thread
count bit by bit, so the choice is made once per machine and kept in the cache folder.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import NamedTuple, TypeVar

from filelock import FileLock
from pydantic import ValidationError

from sharpen.core.artifact import write_atomic
from sharpen.core.records import Record, decode, digest, encode
from sharpen.models.cache import cache_folder

MORE_THREADS_GAIN = 1.15
"""How much faster a larger thread count must be to be chosen."""
BF16_GAIN = 1.2
"""How much faster bfloat16 must be than float32 to be chosen."""
_FEATURES = ("avx2", "avx512f", "avx512_bf16", "amx_tile", "amx_bf16", "bf16", "sve")
_FORMAT = 2
_SECONDS = 1.5
_LOCK_SECONDS = 60
_REPEATS = 7


class Shape(NamedTuple):
    """A matrix product [rows, inner] x [inner, columns]."""

    rows: int
    inner: int
    columns: int

    @property
    def gflop(self) -> float:
        """Its work."""
        return 2e-9 * self.rows * self.inner * self.columns


SHAPES = (Shape(32, 576, 1536), Shape(32, 1536, 576), Shape(256, 128, 384), Shape(256, 576, 576))
"""Products of small decoders: decoding a batch, then scoring and training."""


class Speed(Record):
    """One measurement."""

    threads: int
    dtype: str
    gflops: float
    """Billion floating-point operations per second over all shapes, median of several rounds."""


class Machine(Record):
    """This machine, with what to use on it and why."""

    cpu: str
    cores: int
    """Cores this process may use."""
    memory_gib: float
    features: tuple[str, ...]
    """Instruction sets of the CPU that matter here."""
    gpu: str | None
    torch: str
    """Version of torch the measurements were made with."""
    threads: int
    """Compute threads to use."""
    dtype: str
    """Fastest number type on this CPU; for sampling and scoring, as training wants float32."""
    speeds: tuple[Speed, ...]
    """The measurements behind the choices."""


Measure = Callable[[int, str], float]
"""(threads, dtype) -> GFLOP/s."""
R = TypeVar("R", bound=Record)


def machine_profile(*, refresh: bool = False) -> Machine:
    """The machine as measured once (in under two seconds); `refresh` measures again."""
    return remembered("machine", None, Machine, probe, refresh=refresh)


def remembered(
    name: str, told: object, kind: type[R], measure: Callable[[], R], *, refresh: bool = False
) -> R:
    """What was measured once on this machine with this torch, or is measured now.

    told: what it depends on besides.
    """
    import torch

    known = [_cpu(), _cores(), torch.__version__, _FORMAT]
    key = digest(known if told is None else [*known, told])[:12]
    path = cache_folder() / f"{name}-{key}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock"), timeout=_LOCK_SECONDS):
        found = None if refresh else _read(path, kind)
        if found is None:
            found = measure()
            write_atomic(path, encode(found))
        return found


def probe() -> Machine:
    """Measure now."""
    import torch

    before = torch.get_num_threads()
    try:
        speeds = measure_speeds(_cores(), _gflops)
    finally:
        torch.set_num_threads(before)
    threads, dtype = choose(speeds)
    return Machine(
        cpu=_cpu(),
        cores=_cores(),
        memory_gib=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        features=tuple(feature for feature in _FEATURES if feature in _cpuinfo("flags", "Features").split()),
        gpu=torch.cuda.get_device_name(0) if torch.cuda.is_available() else None,
        torch=torch.__version__,
        threads=threads,
        dtype=dtype,
        speeds=tuple(speeds),
    )


def measure_speeds(cores: int, measure: Measure) -> list[Speed]:
    """Measure float32 at 1, 2, 4, ... threads, then bfloat16 at the best of them."""
    counts = sorted({2**power for power in range(cores.bit_length()) if 2**power <= cores} | {cores})
    speeds = [Speed(threads=count, dtype="float32", gflops=measure(count, "float32")) for count in counts]
    best, _ = choose(speeds)
    return [*speeds, Speed(threads=best, dtype="bfloat16", gflops=measure(best, "bfloat16"))]


def choose(speeds: Sequence[Speed]) -> tuple[int, str]:
    """Thread count and number type: the larger or the odd one must win clearly."""
    plain = sorted((speed for speed in speeds if speed.dtype == "float32"), key=lambda speed: speed.threads)
    best = plain[0]
    for speed in plain[1:]:
        if speed.gflops >= MORE_THREADS_GAIN * best.gflops:
            best = speed
    short = any(s.dtype == "bfloat16" and s.gflops >= BF16_GAIN * best.gflops for s in speeds)
    return best.threads, "bfloat16" if short else "float32"


def _gflops(threads: int, dtype: str) -> float:
    """Median over several rounds through all shapes, within a share of the probe's time."""
    import torch

    torch.set_num_threads(threads)
    products = [_product(shape, dtype) for shape in SHAPES]
    deadline = time.perf_counter() + _SECONDS / (_cores().bit_length() + 3)
    rates: list[float] = []
    while len(rates) <= _REPEATS and (not rates or time.perf_counter() < deadline):
        rates.append(_round(products, deadline))
    # The first round warms up, and counts only if it took all the time there was.
    return round(median(rates[1:] or rates), 2)


def _product(shape: Shape, dtype: str) -> Callable[[], object]:
    """A product of that shape, ready to be computed."""
    import torch

    generator = torch.Generator().manual_seed(0)
    left = torch.randn(shape.rows, shape.inner, generator=generator)
    right = torch.randn(shape.inner, shape.columns, generator=generator)
    kind = getattr(torch, dtype)
    return partial(torch.mm, left.to(kind), right.to(kind))


def _round(products: Sequence[Callable[[], object]], deadline: float) -> float:
    """GFLOP/s over the shapes that fit in before the deadline, at least one."""
    start, work = time.perf_counter(), 0.0
    for product, shape in zip(products, SHAPES, strict=True):
        if work and time.perf_counter() > deadline:
            break
        product()
        work += shape.gflop
    return work / (time.perf_counter() - start)


def _read(path: Path, kind: type[R]) -> R | None:
    if not path.is_file():
        return None
    try:
        return decode(kind, path.read_bytes())
    except ValidationError:
        return None


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _cpu() -> str:
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def _cpuinfo(*fields: str) -> str:
    """The first of these fields in the kernel's description of the CPU; empty where there is none."""
    path = Path("/proc/cpuinfo")
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        name, _, value = line.partition(":")
        if name.strip() in fields:
            return value.strip()
    return ""
