"""Functions that judge workers import by name."""

import os
import re
import signal
import sys
import time


def square(item: int) -> int:
    return item * item


def slow_square(item: int) -> int:
    time.sleep(0.02 * (item % 3))
    return item * item


def hang_on_2(item: int) -> int:
    while item == 2:
        time.sleep(0.01)
    return item


def stand_still_on_2(item: int) -> int:
    if item == 2:
        os.kill(os.getpid(), signal.SIGSTOP)
    return item


def backtrack_on_3(item: int) -> int:
    if item == 3:
        re.match(r"(a+)+$", "a" * 40 + "b")
    return item


def crash_on_even(item: int) -> int:
    if item % 2 == 0:
        os._exit(3)
    return item


def misbehave(item: int) -> object:
    match item:
        case 0:
            raise ValueError("two\nlines " + "x" * 10_000)
        case 1:
            sys.exit("bye")
        case 2:
            return len(b"x" * (6 << 30))
        case 3:
            return lambda: 1
    return item


def main_and_torch(item: int) -> tuple[bool, bool]:
    return hasattr(sys.modules["__main__"], "GUARDED"), "torch" in sys.modules


def print_it(item: int) -> int:
    print("a worker's own words")
    return item


def note_and_hang_on_2(item: tuple[int, str]) -> int:
    number, folder = item
    with open(os.path.join(folder, str(number)), "a", encoding="utf-8") as file:
        file.write("x")
    while number == 2:
        time.sleep(0.01)
    return number


def note_and_fail(item: tuple[int, str, str]) -> int:
    """Most do nothing but note that they were done; some hang, end the process or raise."""
    number, kind, folder = item
    with open(os.path.join(folder, str(number)), "a", encoding="utf-8") as file:
        file.write("x")
    while kind == "hang":
        time.sleep(0.01)
    if kind == "crash":
        os._exit(3)
    if kind == "raise":
        raise ValueError(number)
    return number


def of_size(size: int) -> bytes:
    return bytes(size)


def sleep_for(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def compute_for(seconds: float) -> tuple[float, float]:
    """When it began and ended, by the clock that all processes share."""
    began = time.perf_counter()
    while time.perf_counter() < began + seconds:
        pass
    return began, time.perf_counter()


def hang_or_note(item: tuple[int, float]) -> float:
    """When it was done, by the clock that all processes share."""
    kind, seconds = item
    while kind == 2:
        time.sleep(0.01)
    time.sleep(seconds)
    return time.perf_counter()
