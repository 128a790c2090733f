"""Looks at the machine and says what works and what to do about the rest."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path

from sharpen.core.errors import SharpenError
from sharpen.core.records import Record

_ENOUGH_DISK = 5 * 2**30
_OPTIONAL = {
    "openai": "pip install 'sharpen[openai]'",
    "anthropic": "pip install 'sharpen[anthropic]'",
    "starlette": "pip install 'sharpen[serve]'",
    "ray": "pip install 'sharpen[ray]'",
    "pandas": "pip install 'sharpen[notebook]'",
    "gguf": "pip install 'sharpen[gguf]'",
    "reasoning_gym": "pip install 'sharpen[reasoning-gym]'",
}


class State(StrEnum):
    """How a thing is."""

    OK = "ok"
    MISSING = "missing"
    BAD = "bad"


class Finding(Record):
    """One thing that was looked at."""

    what: str
    state: State
    detail: str
    remedy: str = ""

    def line(self) -> str:
        """State, detail and remedy."""
        return f"{self.state:<8} {self.detail}" + (f"  ->  {self.remedy}" if self.remedy else "")


def examine() -> tuple[Finding, ...]:
    """All findings: machine, disk, optional packages, worker processes, sandbox, models."""
    return (
        *_machine(),
        _kernels(),
        _disk(),
        *(_package(name, remedy) for name, remedy in _OPTIONAL.items()),
        _tried("workers", _workers),
        *_walls(),
        _tried("sandbox", _sandbox),
        *_models(),
        _tried("tiny", _sample),
    )


def _machine() -> tuple[Finding, ...]:
    from sharpen.models.probe import machine_profile

    machine = machine_profile()
    speeds = (f"{one.gflops:.1f} ({one.threads} x {one.dtype})" for one in machine.speeds)
    told = {
        "cpu": f"{machine.cpu}, {machine.cores} cores, {' '.join(machine.features) or 'no wide vectors'}",
        "memory": f"{machine.memory_gib:.1f} GiB",
        "gpu": machine.gpu or "none",
        "torch": machine.torch,
        "compute": f"{machine.threads} thread(s), {machine.dtype}",
        "speeds": f"{', '.join(speeds)} GFLOP/s when it was measured",
    }
    return tuple(Finding(what=what, state=State.OK, detail=detail) for what, detail in told.items())


def _kernels() -> Finding:
    from sharpen.models.hf_kernels import kernels

    there = kernels() is not None
    return Finding(
        what="kernels",
        state=State.OK if there else State.MISSING,
        detail="compiled for this processor"
        if there
        else "not compiled: small models sample more slowly on one thread of a CPU",
        remedy="" if there else "install a C compiler (cc, gcc or clang)",
    )


def _disk() -> Finding:
    free = shutil.disk_usage(Path.cwd()).free
    enough = free > _ENOUGH_DISK
    return Finding(
        what="disk",
        state=State.OK if enough else State.BAD,
        detail=f"{free / 2**30:.1f} GiB free here",
        remedy="" if enough else "free some space; runs of large models store their weights",
    )


def _package(name: str, remedy: str) -> Finding:
    there = find_spec(name) is not None
    return Finding(
        what=name.replace("_", "-"),
        state=State.OK if there else State.MISSING,
        detail="installed" if there else "optional, not installed",
        remedy="" if there else remedy,
    )


def _tried(what: str, attempt: Callable[[], str]) -> Finding:
    try:
        return Finding(what=what, state=State.OK, detail=attempt())
    except SharpenError as error:
        return Finding(what=what, state=State.BAD, detail=error.problem, remedy=error.remedy)


def _workers() -> str:
    from sharpen.core.task import Task
    from sharpen.executors.pool import JudgePool
    from sharpen.verifiers.source import open_verifier

    with JudgePool() as pool:
        open_verifier("math", pool=pool).judge_texts([(Task.ask("1/2?", "1/2"), "0.5")])
    return "judge processes start and answer"


def _walls() -> tuple[Finding, ...]:
    from sharpen.sandbox.walls import protections

    return tuple(
        Finding(
            what=f"sandbox {wall.name}",
            state=State.OK if wall.stands else State.MISSING,
            detail=wall.detail,
            remedy="" if wall.stands else "code written by models is not run on this machine",
        )
        for wall in protections()
    )


def _sandbox() -> str:
    """Let a program try its ways out, and measure a start."""
    import time

    from sharpen.sandbox.process import reached, run_python

    level = reached()
    start = time.perf_counter()
    run_python({"try.py": b""}, "try.py")
    took = 1000 * (time.perf_counter() - start)
    return f"programs are held at level {level}: all ways out that were tried are shut; {took:.0f} ms a run"


def _models() -> tuple[Finding, ...]:
    from sharpen.models.source import list_models

    return tuple(Finding(what=info.name, state=State.OK, detail=info.line()) for info in list_models())


def _sample() -> str:
    import time

    from sharpen.models.base import Decoding, Prompt
    from sharpen.models.source import open_model

    model = open_model("tiny")
    prompts = [Prompt(f"Q: {n}+{n}\nA:", tuple(range(16))) for n in range(16)]
    start = time.perf_counter()
    done = model.sample(prompts, Decoding(max_tokens=32))
    tokens = sum(len(sample.token_ids) for group in done for sample in group.samples)
    return f"samples {tokens / (time.perf_counter() - start):,.0f} tokens/s"
