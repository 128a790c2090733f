"""Reasoning steps as a world to search: a step is what the policy writes up to a stop text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp

from pydantic import Field

from sharpen.core.attempt import Attempt, Author, Stop, Turn
from sharpen.core.policy import Decoding, Policy
from sharpen.core.records import Record
from sharpen.core.run import Scope
from sharpen.core.seeds import seed_for
from sharpen.core.task import Task
from sharpen.search.growth import Child
from sharpen.search.lockstep import Beam, Leaf, Mcts, searched
from sharpen.search.trees import Trees, recorded, roots
from sharpen.search.values import Standing, Values, valued


class Steps(Record):
    """How attempts are cut into steps, and how many are drawn."""

    stop: str = Field(default="\n", min_length=1)
    """The text that ends a step; it belongs to the step."""
    first: int = Field(default=4, ge=1)
    """Steps drawn at the root (b1)."""
    width: int = Field(default=2, ge=1)
    """Steps drawn below (b2); equal ones count once."""
    depth: int = Field(default=8, ge=1)
    """The step of this depth is drawn to the end of the response; 1 draws whole responses."""
    step_tokens: int = Field(default=32, ge=1)
    """Longest step; one that is cut off is gone on with."""
    last_tokens: int = Field(default=96, ge=1)
    """Longest last step."""
    temperature: float = Field(default=1.0, gt=0)
    length_power: float = Field(default=1.0, ge=0)
    """lambda in the prior exp(sum of log-probabilities / length^lambda)."""
    values: Values = Values()
    """What attempts are worth."""


@dataclass(frozen=True)
class StepWorld:
    """The world of one policy and some tasks; trees are named by the keys of their tasks."""

    it: Scope
    policy: Policy
    tasks: Sequence[Task]
    how: Steps
    seed: int

    def expand(self, leaves: Sequence[tuple[Leaf, Attempt]]) -> list[list[Child[Attempt]]]:
        """Distinct next steps of every leaf; the last step of each line is drawn to its end."""
        found: dict[Leaf, list[Child[Attempt]]] = {leaf: [] for leaf, _ in leaves}
        for last in (False, True):
            asked = [
                (leaf, state, number)
                for leaf, state in leaves
                if (len(leaf.path) + 1 >= self.how.depth) is last
                for number in range(self.how.width if leaf.path else self.how.first)
            ]
            for (leaf, state, _), longer in zip(asked, self._drawn(asked, last), strict=True):
                child = self._child(state, longer, last=last)
                if child.state.turns[-1].text not in [c.state.turns[-1].text for c in found[leaf]]:
                    found[leaf].append(child)
        return [found[leaf] for leaf, _ in leaves]

    def _drawn(self, asked: Sequence[tuple[Leaf, Attempt, int]], last: bool) -> Sequence[Attempt]:
        how = self.how
        if not asked:
            return ()
        decoding = Decoding(
            temperature=how.temperature,
            max_tokens=how.last_tokens if last else how.step_tokens,
            stop=self.policy.prompt.stop if last else (how.stop,),
        )
        return self.it.go_on(
            self.policy,
            [state for _, state, _ in asked],
            self.tasks,
            decoding=decoding,
            seeds=[seed_for(self.seed, leaf.tree, leaf.path, number) for leaf, _, number in asked],
        )

    def _child(self, parent: Attempt, longer: Attempt, *, last: bool) -> Child[Attempt]:
        step = longer.turns[-1]
        state = longer if last else closed(longer, self.how.stop, self.policy.prompt.stop)
        logprobs, length = step.logprobs or (), max(1, len(step.token_ids))
        return Child(
            state=state,
            prior=exp(sum(logprobs) / length**self.how.length_power),
            tokens=len(step.token_ids),
            ended=last or state.stop is not Stop.LENGTH,
        )

    def value(self, leaves: Sequence[tuple[Leaf, Attempt]], ended: Sequence[bool]) -> list[float]:
        """What every state is worth; a root, at which nothing stands, is worth nothing."""
        standing = [
            Standing(state, over, seed_for(self.seed, *leaf, "value"))
            for (leaf, state), over in zip(leaves, ended, strict=True)
        ]
        return valued(self.it, self.policy, standing, self.tasks, self.how.values)

    def most_tokens(self, depth: int) -> int:
        """As many steps as are drawn, each as long as it may be."""
        how = self.how
        longest = how.last_tokens if depth + 1 >= how.depth else how.step_tokens
        return longest * (how.width if depth else how.first)


def closed(attempt: Attempt, stop: str, ends: Sequence[str]) -> Attempt:
    """The attempt with its step's stop text put back; its stop is LENGTH if it can be gone on with.

    It has ended if the model said so, wrote nothing, or completed one of the texts that end a response.
    """
    *before, step = attempt.turns
    text = step.text + stop * (attempt.stop is Stop.STOP_TEXT)
    written = "".join(turn.text for turn in before if turn.author is Author.POLICY)
    found = [place for end in ends if (place := (written + text).find(end)) >= 0]
    if found:
        text = text[: max(0, min(found) - len(written))]
    over = attempt.stop is Stop.END or bool(found) or not text.strip()
    turns: tuple[Turn, ...] = (*before, step.model_copy(update={"text": text}))
    return attempt.model_copy(update={"turns": turns, "stop": Stop.END if over else Stop.LENGTH})


def steps_of(text: str, stop: str = "\n", *, least: int = 1) -> tuple[str, ...]:
    """A text that stands already, cut into steps that end in `stop`, as a search would have drawn them.

    A step of fewer than `least` characters, space around it not counted, is part of the next one; what is
    left at the end is a step of its own, or part of the last one if there is nothing in it.
    """
    found: list[str] = []
    begun = ""
    for piece in text.split(stop):
        begun += piece + stop
        if len(begun.strip()) >= least:
            found.append(begun)
            begun = ""
    found[-1:] = ["".join([*found[-1:], begun]).removesuffix(stop)]
    return tuple(step for step in found if step)


def search_steps(
    it: Scope,
    policy: Policy,
    tasks: Sequence[Task],
    steps: Steps,
    how: Mcts | Beam,
    *,
    batch: int = 64,
) -> Trees:
    """A tree of steps for every task, at most `batch` of them at a time; call it by `it.search`.

    The trees depend on the run's seed and this place, on policy, task and settings, not on the batch.
    """
    world = StepWorld(it, policy, tasks, steps, it.random("steps").getrandbits(62))
    limited = how.model_copy(update={"depth": min(how.depth, steps.depth)})
    return Trees(items=tuple(map(recorded, searched(world, roots(it, policy, tasks), limited, batch=batch))))
