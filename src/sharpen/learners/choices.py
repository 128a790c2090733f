"""A policy over a finite set of choices: logits in a small artifact, learnt by policy gradient.

What is drawn may be dials of a generator, kinds of questions, strategies. With p = softmax(logits) and draws
that come in sets, each of which has one advantage A, the exact gradient of sum A log p (draws) is

    d / d logit_c = mean over sets of A (share of c in the set - p_c).
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from math import exp, log
from typing import ClassVar

from pydantic import Field

from sharpen.core.artifact import Artifact, Kind
from sharpen.core.errors import BadInput
from sharpen.core.policy import Policy
from sharpen.core.records import Record, decode, digest, encode
from sharpen.core.updater import Updated, Workbench

PART = "choices"
FILE = "choices.json"


class Choices(Record):
    """Choices with their logits."""

    logits: Mapping[str, float] = Field(min_length=1)

    @property
    def probabilities(self) -> dict[str, float]:
        """softmax(logits)."""
        highest = max(self.logits.values())
        raw = {name: exp(logit - highest) for name, logit in self.logits.items()}
        return {name: weight / sum(raw.values()) for name, weight in raw.items()}

    @property
    def entropy(self) -> float:
        """Entropy (nats)."""
        return -sum(p * log(p) for p in self.probabilities.values() if p > 0)

    def draw(self, rng: random.Random, count: int) -> list[str]:
        """So many choices, with replacement."""
        chances = self.probabilities
        return rng.choices(list(chances), list(chances.values()), k=count)

    def moved(self, sets: Sequence[DrawnSet], lr: float) -> Choices:
        """One step along the gradient. BadInput if something was drawn that is no choice."""
        unknown = {name for row in sets for name in row.choices} - set(self.logits)
        if unknown:
            raise BadInput("choices", sorted(unknown), "are unknown", remedy=f"one of {sorted(self.logits)}")
        chances, logits = self.probabilities, dict(self.logits)
        for row in sets:
            counts = Counter(row.choices)
            for name, chance in chances.items():
                share = counts[name] / len(row.choices) - chance
                logits[name] += lr * row.advantage * share / len(sets)
        return Choices(logits={name: round(logit, 9) for name, logit in logits.items()})


class DrawnSet(Record):
    """Choices that were drawn together, and how much better the set was than others."""

    choices: tuple[str, ...] = Field(min_length=1)
    advantage: float = Field(allow_inf_nan=False)


class DrawnSets(Record):
    """What a curator hands over."""

    sets: tuple[DrawnSet, ...]


def read_choices(files: Mapping[str, bytes] | None, names: Sequence[str]) -> Choices:
    """The choices in an artifact's files; all alike where there is none."""
    if files is None:
        return Choices(logits=dict.fromkeys(names, 0.0))
    found: Choices = decode(Choices, files[FILE])
    return found


class ChoiceGradient(Record):
    """Moves a policy's choices along the gradient of their advantages."""

    light: ClassVar[bool] = True

    names: tuple[str, ...] = Field(min_length=1)
    """The choices."""
    lr: float = Field(gt=0)
    """Length of the step."""

    @property
    def fingerprint(self) -> str:
        """Hash of its settings."""
        return digest(["choices", self])

    def update(self, work: Workbench, policy: Policy, batch: DrawnSets) -> Updated:
        """The policy with moved choices in its part `choices`."""
        old = policy.parts.get(PART)
        files = {name: work.store.get(sha) for name, sha in old.files.items()} if old else None
        moved = read_choices(files, self.names).moved(batch.sets, self.lr)
        stored = {FILE: work.store.put(encode(moved))}
        artifact = Artifact(kind=Kind.WEIGHTS, files=stored, parents=(policy.version,))
        return Updated(policy=policy.with_part(artifact, PART), report=dict(moved.probabilities))
