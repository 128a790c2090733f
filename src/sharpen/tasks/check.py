"""Proof of a task source: deterministic, distinct, split cleanly, and judged right by its own verifier."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain
from typing import TypeVar

from sharpen.core.check import CheckReport, CheckRow
from sharpen.core.task import Task
from sharpen.tasks.duplicates import normal, told
from sharpen.tasks.source import load_tasks

V = TypeVar("V")


def check_task(
    spec: str,
    *,
    open_verifier: Callable[[str], V],
    prove: Callable[[V, Sequence[Task]], CheckReport],
    question_field: str | None = None,
    answer_field: str | None = None,
) -> CheckReport:
    """Load a small set twice, compare, and try its default verifier on it.

    Opening and proving verifiers is the caller's affair (see sharpen.verifiers), as they stand above tasks.
    """
    load = partial(load_tasks, spec, question_field=question_field, answer_field=answer_field)
    first, second = (load(train=32, val=16, test=16) for _ in range(2))
    parts = (first.train, first.val, second.open_test())
    questions = [normal(told(task)) for task in chain(*parts)]
    proof = prove(open_verifier(first.verifier), first.train)
    rows = (
        _row("same spec, same tasks", first.fingerprint == second.fingerprint, "equal fingerprints"),
        _row("every question once", len(questions) == len(set(questions)), "no question twice"),
        *proof.rows,
    )
    return CheckReport(subject=f"task {spec}", rows=rows, notes=first.notes)


def _row(case: str, ok: bool, wanted: str) -> CheckRow:
    return CheckRow(case=case, wanted=wanted, got=wanted if ok else f"not: {wanted}", ok=ok)
