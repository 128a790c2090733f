"""Answers that are criticised and revised: all tasks in lock-step, each until a rule ends its chain.

A chain is a first answer and its revisions. Quality by turn counts every task at every turn: q_k is what the
answer is worth that stands if at most k revisions are allowed. Verdicts for that are evaluation: they steer
nothing, unless the critic is the verifier.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from statistics import fmean

from pydantic import Field

from sharpen.core.attempt import Attempt
from sharpen.core.budget import Purpose
from sharpen.core.policy import Policy
from sharpen.core.records import Record
from sharpen.core.run import Scope
from sharpen.core.task import Task
from sharpen.core.verdict import value_of
from sharpen.curation.asked_again import Wording, dialogue
from sharpen.curation.groups import grouped
from sharpen.curation.refinements import Refinement, Refinements
from sharpen.curation.voting import voted
from sharpen.judges.critics import Critic, Criticism, Silent


class Ended(StrEnum):
    """Why a chain ended."""

    ACCEPTED = "accepted"
    """The critic lets the answer stand."""
    UNCHANGED = "unchanged"
    """A revision is the answer before it, word for word."""
    DROP = "drop"
    """The critic scores a revision below the answer before it, which stands."""
    BUDGET = "budget"
    """No revision, or no token, is left."""


class History(StrEnum):
    """What of the chain so far is in the dialogue."""

    LAST = "last"
    """The last answer, and the words on it."""
    ALL = "all"
    """Every answer, and the words on each."""


class Refining(Record):
    """How answers are refined."""

    turns: int = Field(default=3, ge=0)
    """Most revisions of an answer."""
    tokens: int | None = Field(default=None, ge=1)
    """Drawn tokens after which an answer is not revised any more; none means no limit."""
    until: tuple[Ended, ...] = (Ended.ACCEPTED, Ended.UNCHANGED)
    """Rules that end a chain; the budget always does."""
    history: History = History.LAST
    """What of the chain so far is in the dialogue."""
    wording: Wording = Wording.NEUTRAL
    """How the question is put again."""
    temperature: float = Field(default=0.0, ge=0)
    """Of first answers and revisions."""
    control: float | None = Field(default=None, ge=0)
    """Temperature of as many independent samples a task, drawn beside for comparison; none draws none."""


class Chain(Record):
    """Answers to one task, each made from the one before, and what was said of them."""

    answers: tuple[Attempt, ...] = Field(min_length=1)
    """Named after the task; their prompts are as they were put."""
    said: tuple[Criticism, ...] = ()
    ended: Ended | None = None
    """None while it goes on."""

    @property
    def kept(self) -> int:
        """Place of the answer that counts."""
        return len(self.answers) - (2 if self.ended is Ended.DROP else 1)

    @property
    def answer(self) -> Attempt:
        """The answer that counts."""
        return self.answers[self.kept]

    @property
    def tokens(self) -> int:
        """Tokens drawn for its answers."""
        return sum(answer.token_count for answer in self.answers)

    def heard(self, word: Criticism, how: Refining) -> Chain:
        """The chain with what is said of its last answer; over, where that ends it."""
        before = self.said[-1].score if self.said else None
        dropped = before is not None and word.score is not None and word.score < before
        ended = Ended.ACCEPTED if word.accepted else Ended.DROP if dropped else None
        return self._with(said=(*self.said, word), ended=ended if ended in how.until else None, how=how)

    def revised(self, answer: Attempt, how: Refining) -> Chain:
        """The chain with another answer; over, if that changes nothing and nothing else was drawn."""
        same = answer.response == self.answers[-1].response and Ended.UNCHANGED in how.until
        return self._with(answers=(*self.answers, answer), ended=Ended.UNCHANGED if same else None, how=how)

    def _with(self, *, ended: Ended | None, how: Refining, **changed: object) -> Chain:
        chain = self.model_copy(update={**changed, "ended": ended})
        spent = how.tokens is not None and chain.tokens >= how.tokens
        return chain if ended or not spent else chain.model_copy(update={"ended": Ended.BUDGET})


def refined(
    scope: Scope,
    policy: Policy,
    tasks: Sequence[Task],
    critic: Critic,
    how: Refining,
    *,
    reviser: Policy | None = None,
) -> tuple[Chain, ...]:
    """A chain for every task, in order; the tasks must differ. A `reviser` revises in the policy's place."""
    first = scope.attempt(policy, tasks, temperature=how.temperature)
    chains = [Chain(answers=(answer,)) for answer in first]
    for turn in range(how.turns + 1):
        if turn < how.turns or {Ended.ACCEPTED, Ended.DROP} & set(how.until):
            _criticise(scope, policy, tasks, chains, critic, how)
        if turn < how.turns:
            _revise(scope, reviser or policy, tasks, chains, how)
    ends = (chain.ended or Ended.BUDGET for chain in chains)
    return tuple(c.model_copy(update={"ended": end}) for c, end in zip(chains, ends, strict=True))


def _criticise(
    scope: Scope,
    policy: Policy,
    tasks: Sequence[Task],
    chains: list[Chain],
    critic: Critic,
    how: Refining,
) -> None:
    going = [place for place, chain in enumerate(chains) if chain.ended is None]
    if not going:
        return
    answers = [chains[place].answers[-1] for place in going]
    said = critic.criticise(scope, policy, [tasks[place] for place in going], answers)
    for place, word in zip(going, said, strict=True):
        chains[place] = chains[place].heard(word, how)


def _revise(scope: Scope, policy: Policy, tasks: Sequence[Task], chains: list[Chain], how: Refining) -> None:
    going = [place for place, chain in enumerate(chains) if chain.ended is None]
    asked = [request(tasks[place], chains[place], how) for place in going]
    answers = scope.attempt(policy, asked, temperature=how.temperature) if asked else ()
    for place, answer in zip(going, answers, strict=True):
        named = answer.model_copy(update={"task": tasks[place].key})
        chains[place] = chains[place].revised(named, how)


def request(task: Task, chain: Chain, how: Refining) -> Task:
    """The task as it is put after a chain of answers and the words on them."""
    rows = [(answer.response, word.text) for answer, word in zip(chain.answers, chain.said, strict=True)]
    return dialogue(task, rows if how.history is History.ALL else rows[-1:], how.wording)


Qualities = tuple[tuple[float | None, ...], ...]
"""For every chain what each of its answers is worth; None where that is not known."""


def qualities(scope: Scope, tasks: Sequence[Task], chains: Sequence[Chain]) -> Qualities:
    """What the run's verifier says of every answer of every chain; counted as evaluation."""
    place = scope.scope("quality", purpose=Purpose.EVALUATION)
    values = map(value_of, place.judge([a for chain in chains for a in chain.answers], tasks))
    return tuple(tuple(next(values) for _ in chain.answers) for chain in chains)


def refinements(chains: Sequence[Chain], values: Qualities) -> Refinements:
    """Every step of every chain as a record."""
    return Refinements(
        items=tuple(
            Refinement(
                task=chain.answers[0].task,
                before=chain.answers[turn - 1],
                after=chain.answers[turn],
                feedback=chain.said[turn - 1].text,
                was=row[turn - 1],
                now=row[turn],
                turn=turn,
            )
            for chain, row in zip(chains, values, strict=True)
            for turn in range(1, len(chain.answers))
        )
    )


def facts(chain: Chain, values: Sequence[float | None], how: Refining) -> dict[str, float]:
    """A chain in numbers: q_0, q_1, ..., revisions made, why it ended, mended or spoiled where it may be."""
    found: dict[str, float | None] = {f"q_{k}": values[min(k, chain.kept)] for k in range(how.turns + 1)}
    first, last = values[0], values[chain.kept]
    if first is not None and last is not None:
        found["spoiled" if first > 0.5 else "mended"] = float((first > 0.5) != (last > 0.5))
    if how.until:
        found["revisions"] = float(len(chain.answers) - 1)
        found |= {f"ended {end}": float(chain.ended is end) for end in (*how.until, Ended.BUDGET)}
    return {name: value for name, value in found.items() if value is not None}


def equal_attempts(
    scope: Scope, policy: Policy, tasks: Sequence[Task], chains: Sequence[Chain], temperature: float
) -> list[dict[str, float]]:
    """What as many independent samples of a task are worth as its chain has answers, by task.

    `equal pass` is pass@k: what a verifier at hand would make of them. `equal vote` is what their vote
    elects, and `equal mean` what any of them is worth.
    """
    place = scope.scope("equal", purpose=Purpose.CONTROL)
    found: dict[str, dict[str, float]] = {}
    for count in sorted({len(chain.answers) for chain in chains}):
        some = [task for task, c in zip(tasks, chains, strict=True) if len(c.answers) == count]
        samples = place.attempt(policy, some, samples=count, temperature=temperature)
        values = [value_of(verdict) for verdict in place.judge(samples, some)]
        winners = voted(samples, place.answers(samples))
        for task, winner, group in zip(some, winners, grouped(values, count), strict=True):
            found[task.key] = _compared(group, group[winner.index])
    return [found[task.key] for task in tasks]


def _compared(values: Sequence[float | None], elected: float | None) -> dict[str, float]:
    known = [value for value in values if value is not None]
    vote = {} if elected is None else {"equal vote": elected}
    return {"equal pass": max(known), "equal mean": fmean(known), **vote} if known else {}


def answers_of(
    scope: Scope,
    policy: Policy,
    tasks: Sequence[Task],
    critic: Critic,
    how: Refining,
    *,
    reviser: Policy | None = None,
) -> tuple[Attempt, ...]:
    """The answers that count, with the facts of their chains: what a workflow's procedure returns."""
    chains = refined(scope, policy, tasks, critic, how, reviser=reviser)
    rows = [facts(*pair, how) for pair in zip(chains, qualities(scope, tasks, chains), strict=True)]
    if how.control is not None:
        beside = equal_attempts(scope, policy, tasks, chains, how.control)
        rows = [{**row, **more} for row, more in zip(rows, beside, strict=True)]
    return tuple(
        chain.answer.model_copy(update={"outcome": {**chain.answer.outcome, **row}})
        for chain, row in zip(chains, rows, strict=True)
    )


def revised(scope: Scope, policy: Policy, tasks: Sequence[Task], how: Refining) -> tuple[Attempt, ...]:
    """Answers that are revised without a word on them: a workflow's procedure."""
    return answers_of(scope, policy, tasks, Silent(), how)
