"""Measures how many sandboxed runs of code a second there are, at each level and on so many threads.

    python benchmarks/sandbox_rate.py --threads 2 --seconds 5

Each thread has a warm server of its own. Three loads: a program that prints, a call of a function, and a
verdict on a function with twelve hidden tests. Starts of servers are timed apart.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from sharpen.core.errors import Unavailable
from sharpen.core.seeds import random_for
from sharpen.sandbox.calling import call
from sharpen.sandbox.limits import Hold, Level, Limits
from sharpen.sandbox.process import run_python
from sharpen.tasks.functions import generate
from sharpen.verifiers.python import verify

TASK = generate(random_for("benchmark"), level=3)
WANTED = 40
"""Runs a second on two cores."""


def loads(level: Level) -> dict[str, Callable[[], object]]:
    """What is timed, by name."""
    hold = Hold(level, level)
    program, function = {"main.py": b"print(6 * 7)"}, {"main.py": b"def f(x): return 6 * x"}
    return {
        "program": lambda: run_python(program, "main.py", hold=hold),
        "call": lambda: call(function, "main.py", "f", [[7]], limits=Limits(), hold=hold),
        "verdict": lambda: verify(TASK.solution or "", TASK, level=level),
    }


def rate(act: Callable[[], object], threads: int, seconds: float) -> float:
    """How often a second it is done by all threads together."""
    end = time.perf_counter() + seconds

    def work(_: int) -> int:
        done = 0
        while time.perf_counter() < end:
            act()
            done += 1
        return done

    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(work, range(threads))) / seconds


def main() -> None:
    """Print a line for every level and load."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=5.0)
    asked = parser.parse_args()
    for level in (Level.WALLED, Level.ISOLATED):
        start = time.perf_counter()
        try:
            for act in loads(level).values():
                rate(act, asked.threads, 0.1)
        except Unavailable as error:
            sys.stdout.write(f"{level:<9} not here: {error.problem}\n")
            continue
        sys.stdout.write(f"{level:<9} start      {time.perf_counter() - start:7.2f} s\n")
        for name, act in loads(level).items():
            found = rate(act, asked.threads, asked.seconds)
            sys.stdout.write(f"{level:<9} {name:<9} {found:7.1f} a second (wanted: {WANTED})\n")


if __name__ == "__main__":
    main()
