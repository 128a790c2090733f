"""Who says what is wrong with an answer: a verifier or judge, a model in words, a second try, a function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from sharpen.core.attempt import Attempt
from sharpen.core.engine import ModelJudge
from sharpen.core.policy import Policy
from sharpen.core.records import Record
from sharpen.core.run import Scope
from sharpen.core.task import Message, Role, Task
from sharpen.core.verdict import Scored, Verdict, value_of


class Criticism(Record):
    """What is said of an answer."""

    text: str = ""
    """Words that the policy is shown; empty for none."""
    accepted: bool = False
    """Whether the answer may stand."""
    score: float | None = None
    """What the critic holds it to be worth, if it says so: the higher, the better."""


class Critic(Protocol):
    """Says something of answers. What it does at random, or asks a model for, it does through the scope."""

    def criticise(
        self, scope: Scope, policy: Policy, tasks: Sequence[Task], answers: Sequence[Attempt]
    ) -> Sequence[Criticism]:
        """One criticism per answer, in order; answers are named after the tasks that they stand beside."""


@dataclass(frozen=True)
class Silent:
    """Says the same of every answer, by default nothing, and accepts none."""

    words: str = ""

    def criticise(
        self, scope: Scope, policy: Policy, tasks: Sequence[Task], answers: Sequence[Attempt]
    ) -> Sequence[Criticism]:
        """The same for all."""
        return [Criticism(text=self.words)] * len(answers)


@dataclass(frozen=True)
class Verifying:
    """Passes on what the run's verifier, or another verifier or judge model, says: it sees what that sees."""

    words: str | None = None
    """What is said of an answer that is not accepted; none means the judge's own critique."""
    least: float = 0.5
    """Answers that are worth more are accepted."""
    judge: ModelJudge | None = None
    """None means the run's verifier."""

    def criticise(
        self, scope: Scope, policy: Policy, tasks: Sequence[Task], answers: Sequence[Attempt]
    ) -> Sequence[Criticism]:
        """By verdicts; nothing is said where they are unknown."""
        return [self._said(verdict) for verdict in scope.judge(answers, tasks, verifier=self.judge)]

    def _said(self, verdict: Verdict) -> Criticism:
        score = value_of(verdict)
        if score is None:
            return Criticism()
        own = verdict.critique if isinstance(verdict, Scored) else ""
        accepted = score > self.least
        words = own if self.words is None else "" if accepted else self.words
        return Criticism(text=words, accepted=accepted, score=score)


@dataclass(frozen=True)
class Asking:
    """Asks a model for its word on the answer: the policy itself, or another one."""

    request: str = "Is this right? Say what is wrong, or say: it is right."
    accept: str = "it is right"
    """Words by which an answer is accepted, in any case of letters; empty accepts none."""
    by: Policy | None = None
    """None means the policy that gave the answer."""
    temperature: float = 0.0

    def criticise(
        self, scope: Scope, policy: Policy, tasks: Sequence[Task], answers: Sequence[Attempt]
    ) -> Sequence[Criticism]:
        """What the model writes when it is asked after the answer."""
        asked = [
            _followed(task, answer.response, self.request)
            for task, answer in zip(tasks, answers, strict=True)
        ]
        words = scope.attempt(self.by or policy, asked, temperature=self.temperature)
        return [Criticism(text=one.response, accepted=self._accepts(one.response)) for one in words]

    def _accepts(self, text: str) -> bool:
        return bool(self.accept) and self.accept.casefold() in text.casefold()


@dataclass(frozen=True)
class Doubting:
    """Lets the policy answer afresh: an answer that comes twice is accepted. No label is looked at."""

    words: str = ""
    """What is said of an answer that does not come again."""
    temperature: float = 1.0

    def criticise(
        self, scope: Scope, policy: Policy, tasks: Sequence[Task], answers: Sequence[Attempt]
    ) -> Sequence[Criticism]:
        """By whether a fresh answer is the same, as the run's verifier reads both."""
        fresh = scope.answers(scope.attempt(policy, tasks, temperature=self.temperature))
        pairs = zip(scope.answers(answers), fresh, strict=True)
        agreed = [said is not None and said == again for said, again in pairs]
        return [Criticism(text="" if same else self.words, accepted=same) for same in agreed]


Opinion = Callable[[Task, str], Criticism]
"""A user's function of the task and the response."""


@dataclass(frozen=True)
class Consulting:
    """Passes on what a user's function says; the journal keeps it, so that it is asked once."""

    function: Opinion

    def criticise(
        self, scope: Scope, policy: Policy, tasks: Sequence[Task], answers: Sequence[Attempt]
    ) -> Sequence[Criticism]:
        """The function's word on each."""
        return scope.curate(self.consulted, list(tasks), [answer.response for answer in answers])

    def consulted(self, tasks: Sequence[Task], responses: Sequence[str]) -> tuple[Criticism, ...]:
        """One call for each response."""
        return tuple(map(self.function, tasks, responses))


@dataclass(frozen=True)
class Dealt:
    """Deals a critic's words out to other answers; for ablations."""

    critic: Critic

    def criticise(
        self, scope: Scope, policy: Policy, tasks: Sequence[Task], answers: Sequence[Attempt]
    ) -> Sequence[Criticism]:
        """The same words, each on another answer."""
        place = scope.scope("dealt")
        said = self.critic.criticise(place, policy, tasks, answers)
        return place.random("criticisms").sample(said, len(said))


def _followed(task: Task, answer: str, request: str) -> Task:
    """The task with an answer to it, and a request about that."""
    said = Message(role=Role.ASSISTANT, content=answer.strip())
    asked = Message(role=Role.USER, content=request)
    return task.model_copy(update={"messages": (*task.messages, said, asked)})
