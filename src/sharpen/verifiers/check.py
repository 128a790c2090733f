"""Proof before use: a verifier against its own cases, and against the task set it is to judge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from sharpen.core.check import CheckReport, CheckRow
from sharpen.core.records import hash_bytes
from sharpen.core.seeds import random_for
from sharpen.core.task import Task
from sharpen.core.verdict import Error, Rejected, Scored, Verdict, value_of
from sharpen.executors.pool import JudgePool
from sharpen.verifiers.base import Case, CaseKind, Verifier

__all__ = ["CheckReport", "CheckRow", "check_cases", "check_verifier", "prove_on"]

SAMPLE = 20
"""Tasks a verifier is tried on."""
GARBAGE = ("", "None", "zxqv jklm wpqr")
SHOWN = 40
"""Characters of a response that a report shows."""


class WithCases(Verifier, Protocol):
    """A verifier with cases of its own."""

    @property
    def cases(self) -> tuple[Case, ...]:
        """Responses whose verdict is known."""


def check_verifier(spec: str, *, pool: JudgePool) -> CheckReport:
    """Run the own cases of the verifier that a spec names, and report every row."""
    from sharpen.verifiers.source import open_unproven

    return check_cases(open_unproven(spec, pool=pool))


def check_cases(verifier: WithCases) -> CheckReport:
    """Run a verifier's own cases; a user's file without cases gives an empty report."""
    files = {hash_bytes(data): data for case in verifier.cases for data in case.files.values()}
    verdicts = verifier.judge([(case.task, case.attempt) for case in verifier.cases], files.__getitem__)
    rows = [_case_row(case, verdict) for case, verdict in zip(verifier.cases, verdicts, strict=True)]
    return CheckReport(subject=f"verifier {verifier.name}", rows=tuple(rows))


def prove_on(verifier: Verifier, tasks: Sequence[Task]) -> CheckReport:
    """Try a verifier on up to 20 tasks of a set.

    The task's own answer (its worked solution, else the answer) must score 1; nothing, garbage, the echoed
    question and the answer of another task, where it differs, must score less. One answer is tried ahead of
    the rest, so that a verifier that hangs or raises costs one deadline. A verifier of whole attempts has no
    answer to try; its own cases must do.
    """
    if verifier.sees_attempt:
        return CheckReport(subject=f"verifier {verifier.name}", rows=())
    picked = random_for("prove", verifier.fingerprint).sample(list(tasks), min(SAMPLE, len(tasks)))
    first = _Trial("own answer", True, picked[0], picked[0].solution or picked[0].answer)
    ahead = _trial_row(first, verifier.judge_texts([(first.task, first.response)])[0])
    if not ahead.ok:
        return CheckReport(subject=f"verifier {verifier.name}", rows=(ahead,))
    trials = [
        trial for place, task in enumerate(picked) for trial in _trials(verifier, task, picked[place - 1])
    ]
    verdicts = verifier.judge_texts([(trial.task, trial.response) for trial in trials])
    rows = [_trial_row(trial, verdict) for trial, verdict in zip(trials, verdicts, strict=True)]
    return CheckReport(subject=f"verifier {verifier.name}", rows=tuple(rows))


class _Trial(NamedTuple):
    what: str
    right: bool
    task: Task
    response: str


def _trials(verifier: Verifier, task: Task, other: Task) -> list[_Trial]:
    trials = [_Trial("own answer", True, task, task.solution or task.answer)]
    trials += [_Trial(f"garbage {text!r}", False, task, text) for text in GARBAGE if text != task.answer]
    if task.question.strip() != task.answer.strip():
        trials.append(_Trial("echoed question", False, task, task.question))
    if not _agree(verifier, other.answer, task.answer):
        trials.append(_Trial("another task's answer", False, task, other.solution or other.answer))
    return trials


def _agree(verifier: Verifier, one: str, other: str) -> bool:
    if "".join(one.split()).casefold() == "".join(other.split()).casefold():
        return True
    extracted = verifier.extract(one)
    return extracted is not None and extracted == verifier.extract(other)


def _trial_row(trial: _Trial, verdict: Verdict) -> CheckRow:
    value = value_of(verdict)
    return CheckRow(
        case=f"{trial.what} for {shown(trial.task.question)} (answer {shown(trial.task.answer)})",
        wanted="score 1" if trial.right else "less than 1",
        got=_got(verdict),
        ok=value is not None and (value == 1.0) == trial.right,
    )


def _case_row(case: Case, verdict: Verdict) -> CheckRow:
    right, value = case.kind is CaseKind.GOLD, value_of(verdict)
    return CheckRow(
        case=f"{case.kind} {shown(case.response)} (answer {shown(case.task.answer)})",
        wanted="score 1" if right else "score 0",
        got=_got(verdict),
        ok=value == (1.0 if right else 0.0),
    )


def _got(verdict: Verdict) -> str:
    match verdict:
        case Scored(value=value, critique=critique):
            return f"score {value:g}" + (f" ({critique})" if critique else "")
        case Rejected(reason=reason):
            return f"rejected: {reason}"
        case Error(kind=kind, detail=detail):
            return f"error: {kind} {detail}".rstrip()


def shown(text: str) -> str:
    """A text as a report shows it: escaped and short."""
    short = text if len(text) <= SHOWN else text[:SHOWN] + "..."
    return repr(short)
