"""The hack list against verifiers: what a cheat earns beside an honest failing answer."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from pydantic import Field

from sharpen.attacks.loop import CHECKS
from sharpen.core.attempt import Attempt, Author, Turn
from sharpen.core.records import Record
from sharpen.core.task import Task
from sharpen.core.verdict import Error, Scored, Verdict, value_of
from sharpen.judges.asking import final_field
from sharpen.verifiers.base import Case, CaseKind, Verifier
from sharpen.verifiers.calls import as_verdict

_LIST = Path(__file__).with_name("hacks.toml")
_WRONG = ("17", "-3", "5/7", "Atlantis", "x+1", "0.125", "E", "8*(2+3)", "(zz)", "none of these")
"""Answers of which at least two are wrong for any task."""
_SHOWN = 60
WIDE = "(" * 4000 + "1" + "+1)" * 4000
LONG = "This is a careful and excellent answer. " * 400
WORDS = ("yes", "no")


class Hack(Record):
    """One cheat, in all the forms it has."""

    id: str
    kind: str
    title: str
    code: tuple[str, ...] = ()
    program: tuple[str, ...] = ()
    text: tuple[str, ...] = ()
    returned: tuple[str, ...] = ()
    reply: tuple[str, ...] = ()
    check: str = ""


class Caught(Record):
    """What a cheat came to."""

    id: str
    kind: str
    title: str
    tried: int
    """How many forms of it met how many tasks."""
    caught: int
    """Of these, those that earned no more than an honest failing answer."""
    errors: int = 0
    """Of the caught ones, those whose judging ended in an error: they earn nothing and are no zero."""
    earned: tuple[str, ...] = ()
    """Those that earned something, shortened."""


class Alarms(Record):
    """Honest solutions that were taken for wrong."""

    tried: int
    alarms: int
    examples: tuple[str, ...] = ()


class Attacked(Record):
    """What became of one verifier."""

    verifier: str
    hacks: tuple[Caught, ...]
    honest: Alarms

    @property
    def verifiers(self) -> tuple[str, ...]:
        """The one that was attacked."""
        return (self.verifier,)

    @property
    def ok(self) -> bool:
        """Whether no cheat earned anything and no honest solution was turned down."""
        return not self.honest.alarms and all(hack.tried == hack.caught for hack in self.hacks)


class Target(NamedTuple):
    """A task that is attacked, and two answers to it that are known to be wrong."""

    task: Task
    wrong: Sequence[str]


class WithCases(Verifier, Protocol):
    """A verifier with cases of its own."""

    @property
    def cases(self) -> tuple[Case, ...]:
        """Responses whose verdict is known."""


@cache
def hacks() -> tuple[Hack, ...]:
    """The whole list."""
    rows: Sequence[Mapping[str, Any]] = tomllib.loads(_LIST.read_text(encoding="utf-8"))["hack"]
    return tuple(Hack.model_validate(row) for row in rows)


def attack_verifier(
    verifier: WithCases,
    honest: Sequence[tuple[Task, str]] = (),
    *,
    tasks: Sequence[Task] = (),
    most: int = 4,
    chosen: Sequence[Hack] | None = None,
) -> Attacked:
    """Every hack that applies, or the chosen ones, on tasks of the verifier's own cases or the given ones.

    At most so many tasks are taken. Honest solutions are those given, and the verifier's own gold cases.
    """
    golden = [case for case in verifier.cases if case.kind is CaseKind.GOLD]
    own = {case.task.key: case.task for case in golden}
    targets = [_target(verifier, task) for task in list(tasks or own.values())[:most]]
    rows = [_met(verifier, hack, targets) for hack in (hacks() if chosen is None else chosen)]
    solutions = [(case.task, case.response) for case in golden if not verifier.sees_attempt] + list(honest)
    return Attacked(
        verifier=verifier.name,
        hacks=tuple(row for row in rows if row.tried),
        honest=_false_alarms(verifier, solutions),
    )


def attack_loop() -> tuple[Caught, ...]:
    """Hacks that need no verifier: values that verifiers return, replies of judges, rules of the loop."""
    return tuple(row for row in map(_met_alone, hacks()) if row.tried)


def _met(verifier: WithCases, hack: Hack, targets: Sequence[Target]) -> Caught:
    tries = [(one.task, text) for one in targets for text in _forms(hack, one)]
    verdicts = _judged(verifier, tries)
    honest = {one.task.key: _worth(_judged(verifier, [(one.task, one.wrong[0])])[0]) for one in targets}
    got = [
        f"{text[:_SHOWN]!r} at {task.question[:_SHOWN]!r}: {_worth(verdict):g}"
        for (task, text), verdict in zip(tries, verdicts, strict=True)
        if _worth(verdict) > honest[task.key]
    ]
    return Caught(
        id=hack.id,
        kind=hack.kind,
        title=hack.title,
        tried=len(tries),
        caught=len(tries) - len(got),
        errors=sum(isinstance(verdict, Error) for verdict in verdicts),
        earned=tuple(got),
    )


def _forms(hack: Hack, target: Target) -> Iterator[str]:
    """The responses by which a hack is tried on a task."""
    task = target.task
    if isinstance(task.metadata.get("tests"), list):
        name = task.metadata.get("function")
        for code in hack.code if name else hack.program:
            yield f"```python\n{code.replace('def f(', f'def {name}(')}\n```"
    for text in hack.text:
        # A task with tests has its solution as its answer.
        if "{answer}" in text and "tests" in task.metadata:
            continue
        yield text.format(
            question=task.question,
            answer=task.answer,
            wrong=target.wrong[0],
            other=target.wrong[1],
            wide=WIDE,
            long=LONG,
        )


def _target(verifier: Verifier, task: Task) -> Target:
    verdicts = _judged(verifier, [(task, text) for text in _WRONG])
    wrong = [text for text, verdict in zip(_WRONG, verdicts, strict=True) if _worth(verdict) < 1]
    return Target(task, (*wrong, "zxqv", "jklm"))


def _judged(verifier: Verifier, tries: Sequence[tuple[Task, str]]) -> list[Verdict]:
    """Verdicts on responses; a verifier of whole attempts gets them with an outcome that is worth nothing."""
    if not verifier.sees_attempt:
        return verifier.judge_texts(tries)
    attempts = [(task, _attempt(task, text)) for task, text in tries]
    return verifier.judge(attempts, lambda sha: b"")


def _attempt(task: Task, text: str) -> Attempt:
    turn = Turn(author=Author.POLICY, text=text)
    return Attempt(task=task.key, index=0, policy="attack", turns=(turn,), outcome={"value": 0.0})


def _worth(verdict: Verdict) -> float:
    return value_of(verdict) or 0.0


def _false_alarms(verifier: Verifier, solutions: Sequence[tuple[Task, str]]) -> Alarms:
    verdicts = verifier.judge_texts(solutions) if solutions else []
    turned_down = [
        f"{text[:_SHOWN]!r} (answer {task.answer[:_SHOWN]!r}): {verdict}"
        for (task, text), verdict in zip(solutions, verdicts, strict=True)
        if not isinstance(verdict, Scored) or verdict.value < 1
    ]
    return Alarms(tried=len(solutions), alarms=len(turned_down), examples=tuple(turned_down[:5]))


def _met_alone(hack: Hack) -> Caught:
    got = [text for text in hack.returned if isinstance(as_verdict(_value(text)), Scored)]
    got += [reply for reply in hack.reply if final_field(reply, WORDS) is not None]
    got += CHECKS[hack.check]() if hack.check else []
    tried = len(hack.returned) + len(hack.reply) + bool(hack.check)
    caught = tried - min(tried, len(got))
    return Caught(id=hack.id, kind=hack.kind, title=hack.title, tried=tried, caught=caught, earned=tuple(got))


def _value(text: str) -> object:
    """A value as the list writes it; the list is ours."""
    return float(text) if text in ("nan", "inf", "-inf") else ast.literal_eval(text)


class Summary(Record):
    """All verifiers together, hack by hack."""

    hacks: tuple[Caught, ...]
    honest: Alarms
    verifiers: tuple[str, ...] = Field(default=())

    @property
    def ok(self) -> bool:
        """Whether every hack of the list was tried and caught, without a false alarm."""
        caught = all(0 < hack.tried == hack.caught for hack in self.hacks)
        return caught and not self.honest.alarms


def summed(attacked: Sequence[Attacked], alone: Sequence[Caught]) -> Summary:
    """One row per hack, over all verifiers and the loop."""
    rows = [row for one in attacked for row in one.hacks] + list(alone)
    return Summary(
        hacks=tuple(_together(hack, [row for row in rows if row.id == hack.id]) for hack in hacks()),
        honest=Alarms(
            tried=sum(one.honest.tried for one in attacked),
            alarms=sum(one.honest.alarms for one in attacked),
            examples=tuple(text for one in attacked for text in one.honest.examples),
        ),
        verifiers=tuple(one.verifier for one in attacked),
    )


def _together(hack: Hack, rows: Sequence[Caught]) -> Caught:
    return Caught(
        id=hack.id,
        kind=hack.kind,
        title=hack.title,
        tried=sum(row.tried for row in rows),
        caught=sum(row.caught for row in rows),
        errors=sum(row.errors for row in rows),
        earned=tuple(text for row in rows for text in row.earned),
    )
