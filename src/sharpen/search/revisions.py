"""Revisions as a world to search: every node is a whole answer, and its children are other tries at it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp

from pydantic import Field

from sharpen.core.attempt import Attempt
from sharpen.core.policy import Decoding, Policy
from sharpen.core.records import Record
from sharpen.core.run import Scope
from sharpen.core.seeds import seed_for
from sharpen.core.task import Task
from sharpen.curation.asked_again import Wording, asked_again
from sharpen.search.growth import Child
from sharpen.search.lockstep import Beam, Leaf, Mcts, searched
from sharpen.search.trees import Trees, recorded, roots
from sharpen.search.values import Standing, Values, valued


class Revising(Record):
    """How answers are revised, and how many revisions are drawn."""

    first: int = Field(default=2, ge=1)
    """First answers."""
    width: int = Field(default=2, ge=1)
    """Revisions of an answer; equal ones count once."""
    depth: int = Field(default=4, ge=1)
    """Most answers in a line, the first one included."""
    tokens: int = Field(default=96, ge=1)
    """Longest answer."""
    temperature: float = Field(default=1.0, gt=0)
    wording: Wording = Wording.NEUTRAL
    """How the question is put again."""
    values: Values = Values()
    """What answers are worth."""


@dataclass(frozen=True)
class RevisionWorld:
    """The world of one policy and some tasks; trees are named by the keys of their tasks."""

    it: Scope
    policy: Policy
    tasks: Sequence[Task]
    how: Revising
    seed: int

    def expand(self, leaves: Sequence[tuple[Leaf, Attempt]]) -> list[list[Child[Attempt]]]:
        """Distinct answers to the question, or to the question put again after an answer."""
        by_key = {task.key: task for task in self.tasks}
        asked = [
            (leaf, state, self._question(by_key[leaf.tree], state), number)
            for leaf, state in leaves
            for number in range(self.how.width if leaf.path else self.how.first)
        ]
        drawn = self.it.go_on(
            self.policy,
            [state.model_copy(update={"task": task.key, "turns": ()}) for _, state, task, _ in asked],
            [task for _, _, task, _ in asked],
            decoding=Decoding(temperature=self.how.temperature, max_tokens=self.how.tokens),
            seeds=[seed_for(self.seed, leaf.tree, leaf.path, number) for leaf, _, _, number in asked],
        )
        found: dict[Leaf, list[Child[Attempt]]] = {leaf: [] for leaf, _ in leaves}
        for (leaf, state, _, _), answer in zip(asked, drawn, strict=True):
            if answer.response not in [child.state.response for child in found[leaf]]:
                found[leaf].append(self._child(leaf, state, answer))
        return [found[leaf] for leaf, _ in leaves]

    def _question(self, task: Task, state: Attempt) -> Task:
        return asked_again(task, state.response, self.how.wording) if state.turns else task

    def _child(self, leaf: Leaf, parent: Attempt, answer: Attempt) -> Child[Attempt]:
        """An answer that does not change its parent's is not revised any more."""
        logprobs = answer.turns[-1].logprobs or ()
        unchanged = bool(parent.turns) and answer.response == parent.response
        return Child(
            state=answer.model_copy(update={"task": leaf.tree}),
            prior=exp(sum(logprobs) / max(1, len(logprobs))),
            tokens=len(answer.turns[-1].token_ids),
            ended=unchanged or len(leaf.path) + 1 >= self.how.depth,
        )

    def value(self, leaves: Sequence[tuple[Leaf, Attempt]], ended: Sequence[bool]) -> list[float]:
        """What every answer is worth; a root is worth nothing."""
        standing = [Standing(state, True, 0) for _, state in leaves]
        return valued(self.it, self.policy, standing, self.tasks, self.how.values)

    def most_tokens(self, depth: int) -> int:
        """As many answers as are drawn, each as long as it may be."""
        return self.how.tokens * (self.how.width if depth else self.how.first)


def search_revisions(
    it: Scope,
    policy: Policy,
    tasks: Sequence[Task],
    revising: Revising,
    how: Mcts | Beam,
    *,
    batch: int = 64,
) -> Trees:
    """A tree of answers and their revisions for every task; call it by `it.search`."""
    world = RevisionWorld(it, policy, tasks, revising, it.random("revisions").getrandbits(62))
    limited = how.model_copy(update={"depth": min(how.depth, revising.depth)})
    found = searched(world, roots(it, policy, tasks), limited, batch=batch)
    return Trees(items=tuple(recorded(tree, revisions=True) for tree in found))
