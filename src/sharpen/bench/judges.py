"""Judging: how many checks a second, and what a few answers that hang or crash their judge cost.

With poison, the time cannot be below the sum of all times over the cores, where a hung answer's time is its
deadline. A pool of the standard library never comes back from such a batch; it is given as long as ours took,
and the answers that it has judged by then count.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Sequence

from sharpen.bench.answers import Answer, Poison, judge, judge_all, mixture, numbers
from sharpen.bench.rows import Peer, Row, compared, rate, row_of
from sharpen.core.task import Task
from sharpen.executors.pool import JudgePool, Lost
from sharpen.verifiers.source import OpenVerifier, open_verifier

DEADLINE = 1.0
CHUNK = 16


def run(*, quick: bool) -> list[Row]:
    """All cases."""
    count, repeats = (400, 1) if quick else (10_000, 3)
    cores = len(os.sched_getaffinity(0))
    with JudgePool(workers=cores) as pool:
        open_verifier("math", pool=pool)
        pool.map(judge, mixture(CHUNK * cores, poisoned=False), deadline=60)
        rows = _checks(pool, count, repeats)
        healthy = _serial(mixture(count, poisoned=False))
        rows += _poisoned(pool, mixture(count, poisoned=True), count / healthy, cores)
    return rows


def _checks(pool: JudgePool, count: int, repeats: int) -> list[Row]:
    plain = numbers(count)
    numeric, maths = (open_verifier(name, pool=pool) for name in ("numeric", "math"))
    return [
        *compared(
            "numbers, one process", "checks/s", rate(lambda: _judged(numeric, plain)), [], repeats=repeats
        ),
        *compared(
            "answers to mathematics, in the pool",
            "checks/s",
            rate(lambda: len(pool.map(judge, mixture(count, poisoned=False), deadline=DEADLINE))),
            [
                Peer("one process, serially", lambda: _serial(mixture(count, poisoned=False))),
                Peer(
                    "math-verify alone, serially", lambda: _math_verify(mixture(count // 10, poisoned=False))
                ),
            ],
            repeats=repeats,
            note=f"{maths.name} verifier",
        ),
    ]


def _judged(verifier: OpenVerifier, pairs: Sequence[tuple[Task, str]]) -> int:
    return len(verifier.judge_texts(pairs))


def _serial(answers: Sequence[Answer]) -> float:
    """Checks per second of this process."""
    began = time.perf_counter()
    for answer in answers:
        judge(answer)
    return len(answers) / (time.perf_counter() - began)


def _math_verify(answers: Sequence[Answer]) -> float:
    """Checks per second of the library that our verifier asks only where it must."""
    from math_verify import parse, verify

    began = time.perf_counter()
    for answer in answers:
        verify(parse(f"${answer.wanted}$"), parse(answer.response))
    return len(answers) / (time.perf_counter() - began)


def _poisoned(pool: JudgePool, answers: Sequence[Answer], healthy: float, cores: int) -> list[Row]:
    """Rows of a batch with poison; `healthy` is the seconds that the other answers take in one process."""
    hanging = sum(answer.poison is Poison.HANG for answer in answers)
    bad = sum(answer.poison is not None for answer in answers)
    bound = (healthy + hanging * DEADLINE) / cores + DEADLINE
    began = time.perf_counter()
    done = pool.map(judge, answers, deadline=DEADLINE, chunk=CHUNK)
    seconds = time.perf_counter() - began
    lost = sum(isinstance(one, Lost) for one in done)
    case = f"{len(answers):,} answers, {bad} of them poison"
    told = f"{hanging} hang for {DEADLINE:g} s, {bad - hanging} crash; {lost} verdicts are errors"
    finished = _naive(answers, seconds, cores)
    return [
        row_of(case, "seconds", [seconds], [bound], "sum of times / cores + one deadline", note=told),
        row_of(
            case,
            "answers judged",
            [len(answers) - lost],
            [finished],
            "multiprocessing.Pool",
            note="by the time that ours was done; the peer never is",
        ),
    ]


def _naive(answers: Sequence[Answer], seconds: float, cores: int) -> int:
    """Answers that a plain pool has judged by the time."""
    chunks = [answers[start : start + CHUNK] for start in range(0, len(answers), CHUNK)]
    with multiprocessing.get_context("spawn").Pool(cores) as pool:
        results = [pool.apply_async(judge_all, (chunk,)) for chunk in chunks]
        time.sleep(seconds)
        done = [len(chunk) for chunk, result in zip(chunks, results, strict=True) if result.ready()]
    return sum(done)
