"""Judges that are models: asked of one response, of two, or by a list of criteria.

The judge is a policy. The policy in training judges itself if it is given as it stands, and is judged by a
frozen copy if an earlier value of it is given. A reply that cannot be read is an error, never a zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import NamedTuple

from sharpen.core.attempt import Attempt
from sharpen.core.dialogue import Picture, media_of
from sharpen.core.engine import Judging
from sharpen.core.policy import Policy
from sharpen.core.records import digest
from sharpen.core.run import Scope
from sharpen.core.task import Message, Role, Task
from sharpen.core.verdict import Error, Scored, Verdict, value_of
from sharpen.curation.pairs import Pair, Pairs, Preferred
from sharpen.judges.asking import Answer, Way, ask, quoted

YES, NO = "yes", "no"
FIRST, SECOND, TIE = "A", "B", "tie"


class Frame(StrEnum):
    """How a response is put before the judge."""

    QUOTED = "quoted"
    """As somebody's, line by line in quotation marks."""
    DIALOGUE = "dialogue"
    """As the judge's own answer in the dialogue, which suits a policy that judges itself."""


@dataclass(frozen=True)
class Opinion:
    """What all judges of this kind have."""

    judge: Policy
    way: Way = Way.AUTO
    frame: Frame = Frame.QUOTED
    reference: bool = False
    """Whether the judge is shown the hidden answer (channel LABEL)."""

    @property
    def fingerprint(self) -> str:
        """Hash of the judge's version and of all settings."""
        rest = [value for name, value in sorted(vars(self).items()) if name not in ("judge", "against")]
        return digest([type(self).__name__, self.judge.version, *rest])


def asked(task: Task) -> str:
    """What a task asks, with the dialogue before it."""
    return "\n".join(message.content for message in task.messages)


@dataclass(frozen=True)
class OfOne(Opinion):
    """What judges of one response at a time have."""

    pictures: bool = False
    """Whether the judge sees the task's pictures and those among an attempt's files; for models that see."""

    def about(
        self, task: Task, attempt: Attempt, question: str, seen: Sequence[Picture] = ()
    ) -> tuple[Message, ...]:
        """The dialogue that asks a question about a response."""
        known = f"\nThe right answer:\n{quoted(task.answer)}" if self.reference else ""
        if self.frame is Frame.DIALOGUE:
            own = Message(role=Role.ASSISTANT, content=attempt.response)
            last = Message(role=Role.USER, content=question + known, pictures=tuple(seen))
            return (*task.messages, own, last)
        shown = f"Question:\n{quoted(asked(task))}\nResponse:\n{quoted(attempt.response)}{known}\n{question}"
        return (Message(role=Role.USER, content=shown, pictures=(*self.shown(task), *seen)),)

    def shown(self, task: Task) -> tuple[Picture, ...]:
        """The pictures of the task itself, as far as the judge is shown any."""
        return task.pictures if self.pictures else ()

    def seen(self, judging: Judging, attempt: Attempt) -> list[Picture]:
        """The pictures that the judge is shown of an attempt, by the names of their files."""
        if not self.pictures:
            return []
        files = [judging.store.get(sha) for _, sha in sorted(attempt.files.items())]
        return [Picture.of(data) for data in files if media_of(data)]


@dataclass(frozen=True)
class Pointwise(OfOne):
    """Is this response right? Worth the judge's probability of yes; 0 or 1 where it writes."""

    question: str = "Is the response right?"

    def judge_by(self, judging: Judging, pairs: Sequence[tuple[Task, Attempt]]) -> list[Verdict]:
        """One verdict per attempt, in order."""
        dialogues = [
            self.about(task, attempt, self.question, self.seen(judging, attempt)) for task, attempt in pairs
        ]
        answers = ask(judging, self.judge, self.way, dialogues, (YES, NO))
        return [
            Scored(value=answer.shares.get(YES, 0.0), critique=answer.said)
            if answer.shares
            else malformed(answer)
            for answer in answers
        ]


def said(verdict: Verdict) -> str:
    """What the judge wrote to a verdict."""
    return verdict.critique if isinstance(verdict, Scored) else ""


def malformed(answer: Answer) -> Error:
    """The error for a reply that says nothing."""
    return Error(kind="malformed", detail=answer.said[-200:])


class Criterion(NamedTuple):
    """One point to judge by."""

    name: str
    question: str
    weight: float = 1.0


@dataclass(frozen=True)
class Rubric(OfOne):
    """Points for each criterion, asked one by one; worth their weighted mean, from 0 to 1."""

    criteria: tuple[Criterion, ...] = (Criterion("right", "How far is the response right?"),)
    points: int = 5
    """Best number of points; 1 is the worst. At most 9."""

    def judge_by(self, judging: Judging, pairs: Sequence[tuple[Task, Attempt]]) -> list[Verdict]:
        """One verdict per attempt, in order; the evidence has the worth by each criterion."""
        words = [str(number + 1) for number in range(self.points)]
        dialogues = [
            self.about(task, attempt, f"{one.question} 1 is worst, {self.points} is best.", seen)
            for task, attempt in pairs
            for seen in [self.seen(judging, attempt)]
            for one in self.criteria
        ]
        answers = iter(ask(judging, self.judge, self.way, dialogues, words))
        return [self._verdict([next(answers) for _ in self.criteria]) for _ in pairs]

    def _verdict(self, answers: Sequence[Answer]) -> Verdict:
        if lost := [answer for answer in answers if not answer.shares]:
            return malformed(lost[0])
        worths = [
            sum(share * (int(word) - 1) for word, share in answer.shares.items()) / (self.points - 1)
            for answer in answers
        ]
        total = sum(one.weight for one in self.criteria)
        return Scored(
            value=sum(w * one.weight for w, one in zip(worths, self.criteria, strict=True)) / total,
            critique="\n".join(filter(None, (answer.said for answer in answers))),
            evidence=dict(zip((one.name for one in self.criteria), worths, strict=True)),
        )


Place = tuple[str, int]
"""Task and index of an attempt."""


@dataclass(frozen=True)
class Pairwise(Opinion):
    """Which of two responses is better? Asked in both orders; who contradicts himself is undecided.

    Worth 1 where the attempt is held to be better than the other response, 0 where worse, 0.5 at a tie.
    """

    question: str = "Which response is better?"
    ties: bool = False
    """Whether a tie may be called."""
    against: Mapping[Place, str] = field(default_factory=dict)
    """The other response of each attempt."""

    @property
    def fingerprint(self) -> str:
        """Hash of the judge's version, of all settings, and of the other responses."""
        others = sorted((*place, text) for place, text in self.against.items())
        return digest([super().fingerprint, others])

    def judge_by(self, judging: Judging, pairs: Sequence[tuple[Task, Attempt]]) -> list[Verdict]:
        """One verdict per attempt, in order. Equal responses are a tie, and nobody is asked."""
        both = [(task, a.response, self.against[a.task, a.index]) for task, a in pairs]
        open_ones = [row for row in both if row[1] != row[2]]
        dialogues = [
            self._shown(task, *order)
            for task, one, other in open_ones
            for order in ((one, other), (other, one))
        ]
        words = (FIRST, SECOND, TIE) if self.ties else (FIRST, SECOND)
        answers = iter(ask(judging, self.judge, self.way, dialogues, words))
        return [
            Scored(value=0.5) if one == other else agreed(next(answers), next(answers))
            for _, one, other in both
        ]

    def _shown(self, task: Task, one: str, other: str) -> tuple[Message, ...]:
        known = f"\nThe right answer:\n{quoted(task.answer)}" if self.reference else ""
        texts = f"Response {FIRST}:\n{quoted(one)}\nResponse {SECOND}:\n{quoted(other)}"
        shown = f"Question:\n{quoted(asked(task))}\n{texts}{known}\n{self.question}"
        return (Message(role=Role.USER, content=shown),)


WORTH = {FIRST: 1.0, SECOND: 0.0, TIE: 0.5}


def agreed(there: Answer, back: Answer) -> Verdict:
    """The verdict on the response that stood first `there` and second `back`."""
    if lost := [answer for answer in (there, back) if answer.word is None]:
        return malformed(lost[0])
    one, two = WORTH[there.word or TIE], 1 - WORTH[back.word or TIE]
    words = "\n".join(filter(None, (there.said, back.said)))
    return Scored(value=one, critique=words) if one == two else Error(kind="undecided", detail=words[-200:])


def preferred(
    it: Scope, how: Pairwise, first: Sequence[Attempt], second: Sequence[Attempt], tasks: Sequence[Task]
) -> Pairs:
    """Pairs of the better and the worse of two aligned attempts; none where the judge has no preference.

    Recorded as `decided`: the share of pairs with a preference. No two of `first` may have equal task and
    index.
    """
    against = {(a.task, a.index): b.response for a, b in zip(first, second, strict=True)}
    verdicts = it.judge(first, tasks, verifier=replace(how, against=against))
    rows = [(a, b, v, value_of(v)) for a, b, v in zip(first, second, verdicts, strict=True)]
    found = [
        Pair(better=a if value > 0.5 else b, worse=b if value > 0.5 else a, by=Preferred.JUDGE, why=said(v))
        for a, b, v, value in rows
        if value is not None and value != 0.5
    ]
    it.measure(decided=len(found) / len(rows) if rows else 0.0)
    return Pairs(items=tuple(found))
