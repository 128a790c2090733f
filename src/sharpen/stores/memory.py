"""A scored memory of experience as an immutable value, and what can be done with it.

Every operation is a pure function from one memory to the next, so to roll back is to keep the old value.
As an artifact a memory is one file of plain JSON; its version is the hash of its contents. What items say was
written by a policy: it is hostile text, filtered here on insertion and never executed or rendered.

Score of an item, as in its credit rule: (succeeded + 1) / (used + 2), 0.5 at birth.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from itertools import count, groupby
from typing import ClassVar, NamedTuple

from pydantic import Field

from sharpen.core.artifact import Artifact, ArtifactStore, Kind
from sharpen.core.policy import Policy
from sharpen.core.records import Record, decode, digest, encode
from sharpen.core.seeds import random_for
from sharpen.core.updater import Updated, Workbench
from sharpen.environments.base import Hit
from sharpen.stores.embedding import Embedder, Ngrams, Vectors

MEMORY_FILE = "memory.json"
MOST_SUCCESSES, MOST_FAILURES = 3, 2
MOST_USES = 2**53
"""Counts that a file claims beyond this are damage; a score of them could not be computed."""
MOST_CHARACTERS = 600
MOST_USES = 2**53
"""Counters beyond this come from no run, and their share may be no float."""
_WORD = re.compile(r"\w+")
_TAG = re.compile(r"</?\w+>")
_COLLAPSED = re.compile(r"(.)\1{7,}|(\b\w+\b)(?:\W+\2\b){3,}")


class Leaning(StrEnum):
    """What kind of advice an item is."""

    GUIDING = "guiding"
    """What to do."""
    CAUTIONARY = "cautionary"
    """What to avoid."""


class Refusal(StrEnum):
    """Why an item was not inserted."""

    EMPTY = "empty"
    TOO_LONG = "too long"
    TAGS = "tags inside"
    COLLAPSED = "collapsed text"
    LEAK = "contains a reference answer"
    DUPLICATE = "already there"


class Use(Record):
    """An attempt with the items it was shown."""

    attempt: str
    items: tuple[str, ...]
    succeeded: bool


class Item(Record):
    """One piece of experience."""

    text: str
    """What a policy is shown."""
    leaning: Leaning = Leaning.GUIDING
    cue: str = ""
    """What similarity is measured on; the text itself if empty."""
    used: int = Field(default=0, ge=0, le=MOST_USES)
    succeeded: int = Field(default=0, ge=0, le=MOST_USES)
    successes: tuple[str, ...] = ()
    """Names of attempts that went well with it, the first three."""
    failures: tuple[str, ...] = ()
    """Names of attempts that failed with it, the first two."""

    @cached_property
    def id(self) -> str:
        """Hash of leaning and key: 12 hex digits."""
        return digest([self.leaning, self.key])[:12]

    @property
    def score(self) -> float:
        """Share of good uses by Laplace's rule, in (0, 1)."""
        return (self.succeeded + 1) / (self.used + 2)

    @property
    def key(self) -> str:
        """What it is found by."""
        return self.cue or self.text

    @property
    def shown(self) -> str:
        """One line: leaning, score in percent, text."""
        sign = "+" if self.leaning is Leaning.GUIDING else "-"
        return f"{sign}{min(99, int(100 * self.score)):02d} {self.text}"

    def born(self, origin: Use) -> Item:
        """The item with the attempt it was learnt from, which counts as no use."""
        successes, failures = self.successes, self.failures
        if origin.succeeded:
            successes = tuple(dict.fromkeys((*successes, origin.attempt)))[:MOST_SUCCESSES]
        else:
            failures = tuple(dict.fromkeys((*failures, origin.attempt)))[:MOST_FAILURES]
        return self.model_copy(update={"successes": successes, "failures": failures})

    def after(self, use: Use) -> Item:
        """The item after one use, with the attempt linked."""
        counts = {"used": self.used + 1, "succeeded": self.succeeded + use.succeeded}
        return self.born(use).model_copy(update=counts)


class Memory(Record):
    """Items in the order of their insertion, and how they are found."""

    items: tuple[Item, ...] = ()
    top: int = Field(default=3, ge=1)
    """Items shown for a query."""
    embedder: Ngrams = Ngrams()

    def __len__(self) -> int:
        return len(self.items)

    @cached_property
    def by_id(self) -> dict[str, Item]:
        """Items by id."""
        return {item.id: item for item in self.items}

    @property
    def mean_score(self) -> float:
        """Mean score of the items; 0.5 for none."""
        return sum(item.score for item in self.items) / len(self.items) if self.items else 0.5


class Neighbour(NamedTuple):
    """An item and how similar it is to something, from -1 to 1."""

    item: Item
    similarity: float


@dataclass(frozen=True)
class Index:
    """A memory with its vectors, for many searches."""

    memory: Memory
    embedder: Embedder
    vectors: Vectors

    @classmethod
    def of(cls, memory: Memory, embedder: Embedder | None = None) -> Index:
        """Embed every item once; by default with the memory's own embedder."""
        embedder = embedder or memory.embedder
        return cls(memory, embedder, embedder.embed([item.key for item in memory.items]))

    def nearest(self, text: str, top: int, *, least: float = -1.0) -> tuple[Neighbour, ...]:
        """At most `top` items of similarity `least` or more, the most similar first, ties by id."""
        similarities = self.vectors @ self.embedder.embed([text])[0]
        found = [
            Neighbour(item, round(float(value), 6))
            for item, value in zip(self.memory.items, similarities, strict=True)
        ]
        ranked = sorted(found, key=lambda neighbour: (-neighbour.similarity, neighbour.item.id))
        return tuple(neighbour for neighbour in ranked[:top] if neighbour.similarity >= least)

    def search(self, query: str) -> Sequence[Hit]:
        """The memory as a tool of an episode."""
        return [Hit(item.id, item.shown) for item, _ in self.nearest(query, self.memory.top)]


def words(text: str) -> tuple[str, ...]:
    """A text as it is compared: its words in lower case."""
    return tuple(_WORD.findall(text.casefold()))


def leaks(text: str, answers: Collection[str]) -> bool:
    """Whether a reference answer stands in the text as whole words."""
    inside, wanted = words(text), {words(answer) for answer in answers} - {()}
    sizes = {len(answer) for answer in wanted}
    return any(inside[i : i + size] in wanted for size in sizes for i in range(len(inside) - size + 1))


def refusal(item: Item, answers: Collection[str]) -> Refusal | None:
    """Why an item may not enter a memory whose tasks have these reference answers; None if it may."""
    for text in (item.text, item.key):
        if not words(text):
            return Refusal.EMPTY
        if len(text) > MOST_CHARACTERS:
            return Refusal.TOO_LONG
        if _TAG.search(text):
            return Refusal.TAGS
        if _COLLAPSED.search(text):
            return Refusal.COLLAPSED
        if leaks(text, answers):
            return Refusal.LEAK
    return None


class Inserted(Record):
    """A memory after an insertion, and how many items were refused why."""

    memory: Memory
    refused: Mapping[Refusal, int] = Field(default_factory=dict)

    def plus(self, later: Inserted) -> Inserted:
        """The later memory, with the refusals of both."""
        names = sorted({*self.refused, *later.refused})
        counts = {name: self.refused.get(name, 0) + later.refused.get(name, 0) for name in names}
        return later.model_copy(update={"refused": counts})

    def pruned(self, threshold: float) -> Inserted:
        """The same after deleting what scores below the threshold."""
        return self.model_copy(update={"memory": prune(self.memory, threshold)})

    @property
    def measures(self) -> dict[str, float]:
        """Size, mean score and refusals, as numbers of a round."""
        refused = {f"refused: {name}": float(number) for name, number in sorted(self.refused.items())}
        return {"items": float(len(self.memory)), "mean score": self.memory.mean_score, **refused}


def insert(memory: Memory, items: Iterable[Item], *, answers: Collection[str]) -> Inserted:
    """Add items at the end; those that leak an answer, are malformed or are there already stay out."""
    kept, refused = dict(memory.by_id), dict[Refusal, int]()
    for item in items:
        if reason := Refusal.DUPLICATE if item.id in kept else refusal(item, answers):
            refused[reason] = refused.get(reason, 0) + 1
        else:
            kept[item.id] = item
    return Inserted(memory=memory.model_copy(update={"items": tuple(kept.values())}), refused=refused)


class Draft(Record):
    """An item that was just written, and the attempt it was learnt from."""

    item: Item
    question: str
    """Key of the attempt's task."""
    attempt: str
    """Name of the attempt."""
    succeeded: bool

    def rivals(self, other: Draft) -> bool:
        """Whether both are of one question and one leaning, so that they may say the same."""
        return self.question == other.question and self.item.leaning is other.item.leaning


def absorb(
    memory: Memory, drafts: Iterable[Draft], same: Mapping[str, str], *, answers: Collection[str]
) -> Inserted:
    """Add drafts one by one; where the memory has the same advice, its item is used once more instead.

    `same` maps ids of drafts to ids of items that say the same; equal ids do anyway.
    """
    done = Inserted(memory=memory)
    for draft in drafts:
        use = Use(
            attempt=draft.attempt,
            items=(same.get(draft.item.id, draft.item.id),),
            succeeded=draft.succeeded,
        )
        if use.items[0] in done.memory.by_id:
            done = done.model_copy(update={"memory": credit(done.memory, [use])})
        else:
            done = done.plus(insert(done.memory, [draft.item.born(use)], answers=answers))
    return done


def credit(memory: Memory, uses: Iterable[Use]) -> Memory:
    """Count every use of every item; ids that are no longer there are passed over."""
    items = dict(memory.by_id)
    for use in uses:
        for name in dict.fromkeys(use.items):
            if name in items:
                items[name] = items[name].after(use)
    return memory.model_copy(update={"items": tuple(items.values())})


def prune(memory: Memory, threshold: float) -> Memory:
    """Without the items that score below the threshold."""
    return memory.model_copy(update={"items": tuple(i for i in memory.items if i.score >= threshold)})


def permuted(memory: Memory, *parts: object) -> Memory:
    """Every text under another item's cue and score: retrieval finds as before, and what it shows is wrong.

    The control for a memory whose contents, not its mere presence, should matter. `parts` seed the order.
    """
    order = list(range(len(memory.items)))
    random_for("permuted memory", *parts).shuffle(order)
    shifted = dict(zip(order, order[1:] + order[:1], strict=True))
    return memory.model_copy(
        update={
            "items": tuple(
                item.model_copy(update={"cue": item.key, "text": memory.items[shifted[place]].text})
                for place, item in enumerate(memory.items)
            )
        }
    )


def poisoned(drafts: Sequence[Draft], share: float, *parts: object) -> tuple[Draft, ...]:
    """Drafts of which a share, by chance, carries another's advice under its own topic (its first word).

    The test of pruning: such items must lose their score by being followed. `parts` seed the choice.
    """
    rng = random_for("poisoned memory", *parts)
    return tuple(
        draft.model_copy(update={"item": _crossed(draft.item, rng.choice(drafts).item)})
        if rng.random() < share
        else draft
        for draft in drafts
    )


def _crossed(item: Item, other: Item) -> Item:
    text = " ".join([*item.text.split()[:1], *other.text.split()[1:]])
    return item.model_copy(update={"text": text})


def near(memory: Memory, drafts: Sequence[Draft], *, top: int, least: float) -> list[tuple[Item, Item]]:
    """Pairs (new item, item of the memory) of one leaning, similar enough to be the same.

    An item that is there already needs no asking.
    """
    index = Index.of(memory)
    return [
        (draft.item, neighbour.item)
        for draft in drafts
        if draft.item.id not in memory.by_id
        for neighbour in index.nearest(draft.item.key, top, least=least)
        if neighbour.item.leaning is draft.item.leaning
    ]


def first_of_each(drafts: Sequence[Draft], same: Collection[tuple[str, str]]) -> tuple[Draft, ...]:
    """Of every question's drafts the first of each set that says the same, by the pairs of ids in `same`."""
    leader = {draft.item.id: draft.item.id for draft in drafts}
    place = {name: index for index, name in enumerate(leader)}
    for pair in sorted(same):
        first, second = sorted((leader[name] for name in pair), key=place.__getitem__)
        leader = {name: first if led == second else led for name, led in leader.items()}
    kept: dict[tuple[str, str], Draft] = {}
    for draft in drafts:
        kept.setdefault((draft.question, leader[draft.item.id]), draft)
    return tuple(kept.values())


def markdown(memory: Memory) -> str:
    """The memory for readers: best score first; text stands as code, so nothing in it is rendered."""
    lines = [f"# Memory: {len(memory)} items"]
    ranked = sorted(memory.items, key=lambda item: (item.leaning, -item.score, item.id))
    for leaning, items in groupby(ranked, key=lambda item: item.leaning):
        lines += ["", f"## {leaning.value.capitalize()}", ""]
        lines += [
            f"- {item.score:.2f} ({item.succeeded} of {item.used}) {_code(item.text)}" for item in items
        ]
    return "\n".join(lines) + "\n"


def _code(text: str) -> str:
    """Inline code that no back-quote inside can end."""
    line = " ".join(text.split())
    fence = next("`" * size for size in count(1) if "`" * size not in line)
    return f"{fence} {line} {fence}"


def stored(store: ArtifactStore, memory: Memory, *, parents: tuple[str, ...] = ()) -> Artifact:
    """Write a memory into the store."""
    return Artifact(kind=Kind.MEMORY, files={MEMORY_FILE: store.put(encode(memory))}, parents=parents)


def loaded(store: ArtifactStore, artifact: Artifact) -> Memory:
    """Read a memory back; Damaged if its file is."""
    memory: Memory = decode(Memory, store.get(artifact.files[MEMORY_FILE]))
    return memory


class Shelve(Record):
    """The updater that gives a policy a memory in the place of the one it has."""

    light: ClassVar[bool] = True

    @property
    def fingerprint(self) -> str:
        """It has no settings."""
        return digest(["shelve memory"])

    def update(self, work: Workbench, policy: Policy, batch: Memory) -> Updated:
        """The policy with this memory as its part `memory`."""
        artifact = stored(work.store, batch, parents=(policy.version,))
        return Updated(policy=policy.with_part(artifact), report={"items": len(batch)})
