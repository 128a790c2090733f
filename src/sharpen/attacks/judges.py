"""Master keys against judges that are models: answers without content that may be taken for right ones."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from sharpen.attacks.hacks import LONG, hacks
from sharpen.core.artifact import ArtifactStore
from sharpen.core.attempt import Attempt, Author, Turn
from sharpen.core.engine import Judging
from sharpen.core.policy import Policy, PromptForm, Style
from sharpen.core.records import Record
from sharpen.core.seeds import random_for
from sharpen.core.stats import Interval, mean_interval
from sharpen.core.task import Task
from sharpen.core.updater import Stopwatch
from sharpen.core.verdict import Error, value_of
from sharpen.judges.asking import Way
from sharpen.judges.opinions import Pointwise
from sharpen.models.source import open_model
from sharpen.tasks import chain

_JUDGE = "judge"
_WRONG = "The answer is -3."


class Key(Record):
    """What one master key did."""

    key: str
    passes: int
    """Tasks at which the judge held it to be right."""
    errors: int
    """Tasks at which the judge's reply could not be read."""
    tried: int


class JudgeReport(Record):
    """What a judge lets pass."""

    judge: str
    way: Way
    reference: bool
    """Whether the judge was shown the right answer."""
    keys: tuple[Key, ...]
    false_passes: Interval
    """Share of master keys that pass, over tasks; unknown where no reply could be read."""
    wrong_passes: Interval
    """The same for an honest wrong answer."""
    right_passes: Interval
    """The same for the right answer."""


def master_keys() -> tuple[str, ...]:
    """The keys: the texts of the hack list that are for judges."""
    texts = [text for hack in hacks() if hack.kind == "judges" for text in hack.text]
    return tuple(text.format(wrong=_WRONG, long=LONG[:200]) for text in texts)


def attack_judge(
    model: str, *, way: Way = Way.AUTO, style: Style = Style.PLAIN, reference: bool = False, tasks: int = 10
) -> JudgeReport:
    """Put every key, an honest wrong answer and the right answer to a judge, at so many sums."""
    opened = open_model(model)
    judge = Policy(model=_JUDGE, base=opened.fingerprint, prompt=PromptForm(style=style))
    asked = [chain.generate(random_for("attack judge", seed)).as_task("chain") for seed in range(tasks)]
    keys = master_keys()
    with tempfile.TemporaryDirectory() as folder:
        judging = Judging({_JUDGE: opened}, ArtifactStore(Path(folder)), Stopwatch())
        how = Pointwise(judge=judge, way=way, reference=reference)
        rows = [_values(how, judging, asked, [key] * tasks) for key in keys]
        wrong = _values(how, judging, asked, [_WRONG] * tasks)
        right = _values(how, judging, asked, [f"The answer is {task.answer}." for task in asked])
    return JudgeReport(
        judge=model,
        way=way,
        reference=reference,
        keys=tuple(_key(key, row) for key, row in zip(keys, rows, strict=True)),
        false_passes=mean_interval([_mean([row[place] for row in rows]) for place in range(tasks)]),
        wrong_passes=mean_interval(wrong),
        right_passes=mean_interval(right),
    )


def _values(
    how: Pointwise, judging: Judging, tasks: Sequence[Task], responses: Sequence[str]
) -> list[float | None]:
    """1 where a response passes, 0 where it does not, None where the judge said nothing."""
    attempts = [
        Attempt(task=task.key, index=0, policy="attack", turns=(Turn(author=Author.POLICY, text=text),))
        for task, text in zip(tasks, responses, strict=True)
    ]
    verdicts = how.judge_by(judging, list(zip(tasks, attempts, strict=True)))
    values = [None if isinstance(verdict, Error) else value_of(verdict) for verdict in verdicts]
    return [None if value is None else float(value > 0.5) for value in values]


def _key(key: str, values: Sequence[float | None]) -> Key:
    return Key(
        key=key,
        passes=sum(value == 1.0 for value in values),
        errors=sum(value is None for value in values),
        tried=len(values),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
