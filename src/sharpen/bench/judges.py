"""Judging: how many checks a second, and what a few answers that hang or crash their judge cost.

With poison, the time cannot be below the sum of all times over the cores, where a hung answer's time is its
deadline; the bound allows one deadline more. The executor of the standard library gives up such a batch as a
whole: the answers that it has judged by then count.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool

from sharpen.bench.answers import Answer, Poison, batches, formulas, judge, judge_all, mixture, numbers
from sharpen.bench.rows import Peer, Row, compared, rate, row_of
from sharpen.core.task import Task
from sharpen.executors.pool import JudgePool, Lost
from sharpen.verifiers.source import OpenVerifier, open_verifier

DEADLINE = 0.5
"""Seconds for one answer of the batch with poison: a hundredth of its answers hang that long."""
HEALTHY = 60.0
"""Seconds for one answer where none is poison."""
CHUNK = 16
SERIAL, FORMULAS, ALONE = 4, 40, 400
"""One process judges one answer in so many; so many are formulas; math-verify alone judges so many."""
ONE_PROCESS, EXECUTOR = "one process, serially", "concurrent.futures"

log = logging.getLogger(__name__)


def run(*, quick: bool) -> list[Row]:
    """All cases."""
    count, repeats = (400, 1) if quick else (10_000, 3)
    cores = len(os.sched_getaffinity(0))
    with JudgePool(workers=cores, preload=(judge.__module__,)) as pool:
        rows = _numbers(pool, count, repeats)
        rows += _mathematics(pool, cores, count, repeats)
        serial = next(row.peer for row in rows if row.peer_name == ONE_PROCESS)
        return rows + _poisoned(pool, mixture(count, poisoned=True), count / (serial or 1), cores)


def _numbers(pool: JudgePool, count: int, repeats: int) -> list[Row]:
    plain, numeric = numbers(count), open_verifier("numeric", pool=pool)
    return compared(
        "numbers, one process", "checks/s", rate(lambda: _judged(numeric, plain)), [], repeats=repeats
    )


def _judged(verifier: OpenVerifier, pairs: Sequence[tuple[Task, str]]) -> int:
    return len(verifier.judge_texts(pairs))


def _mathematics(pool: JudgePool, cores: int, count: int, repeats: int) -> list[Row]:
    """Answers as they come in mathematics, and formulas alone, all of them to be parsed."""
    open_verifier("math", pool=pool)
    ours, theirs, serial = (batches(count // part, repeats + 1) for part in (1, 1, SERIAL))
    few, parsed = mixture(count // ALONE, poisoned=False), formulas(count // FORMULAS)
    with ProcessPoolExecutor(cores, multiprocessing.get_context("spawn")) as executor:
        _in_pool(pool, next(ours))
        _in_executor(executor, next(theirs))
        _serially(next(serial))
        _math_verify(few[:1])
        return [
            *compared(
                "answers to mathematics, in the pool",
                "checks/s",
                rate(lambda: _in_pool(pool, next(ours))),
                [
                    Peer(ONE_PROCESS, rate(lambda: _serially(next(serial)))),
                    Peer(EXECUTOR, rate(lambda: _in_executor(executor, next(theirs)))),
                    Peer("math-verify alone, serially", rate(lambda: _math_verify(few))),
                ],
                repeats=repeats,
                note="one group in eight has to be parsed; every repeat has new answers",
            ),
            *compared(
                "formulas, in the pool",
                "checks/s",
                rate(lambda: _in_pool(pool, parsed)),
                [Peer(EXECUTOR, rate(lambda: _in_executor(executor, parsed)))],
                repeats=1,
                note="every group has to be parsed; what was parsed before is remembered",
            ),
        ]


def _in_pool(pool: JudgePool, answers: Sequence[Answer]) -> int:
    return len(pool.map(judge, answers, deadline=HEALTHY, chunk=CHUNK))


def _in_executor(executor: ProcessPoolExecutor, answers: Sequence[Answer]) -> int:
    return len(list(executor.map(judge, answers, chunksize=CHUNK)))


def _serially(answers: Sequence[Answer]) -> int:
    return len(judge_all(answers))


def _math_verify(answers: Sequence[Answer]) -> int:
    """The library that our verifier asks only where it must."""
    from math_verify import parse, verify

    for answer in answers:
        verify(parse(f"${answer.wanted}$"), parse(answer.response))
    return len(answers)


def _poisoned(pool: JudgePool, answers: Sequence[Answer], healthy: float, cores: int) -> list[Row]:
    """Rows of a batch with poison; `healthy` is the seconds that the other answers take in one process."""
    hanging = sum(answer.poison is Poison.HANG for answer in answers)
    bad = sum(answer.poison is not None for answer in answers)
    bound = (healthy + hanging * DEADLINE) / cores + DEADLINE
    case = f"{len(answers):,} answers, {bad} of them poison"
    log.info("%s: some %.0f s", case, bound)
    began = time.perf_counter()
    done = pool.map(judge, answers, deadline=DEADLINE, chunk=CHUNK)
    seconds = time.perf_counter() - began
    lost = sum(isinstance(one, Lost) for one in done)
    told = f"{hanging} hang for {DEADLINE:g} s, {bad - hanging} crash; {lost} verdicts are errors"
    finished = _naive(answers, seconds, cores)
    return [
        row_of(case, "seconds", [seconds], [bound], "sum of times / cores + one deadline", note=told),
        row_of(
            case,
            "answers judged",
            [len(answers) - lost],
            [finished],
            EXECUTOR,
            note="the peer's batch breaks at the first crash, or hangs",
        ),
    ]


def _naive(answers: Sequence[Answer], seconds: float, cores: int) -> int:
    """Answers that a plain executor has judged until it breaks, or by the time."""
    chunks = [answers[start : start + CHUNK] for start in range(0, len(answers), CHUNK)]
    before = set(multiprocessing.active_children())
    with ProcessPoolExecutor(cores, multiprocessing.get_context("spawn")) as executor:
        futures = [executor.submit(judge_all, chunk) for chunk in chunks]
        wait(futures, timeout=seconds)
        judged = [
            len(chunk)
            for chunk, future in zip(chunks, futures, strict=True)
            if future.done() and not isinstance(future.exception(), BrokenProcessPool)
        ]
        # Where all of its workers hang, it would wait for them for ever.
        for worker in set(multiprocessing.active_children()) - before:
            worker.kill()
    return sum(judged)
