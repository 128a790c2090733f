"""Whether held-out tasks, or their answers, got into what a method makes: tasks, memory, skills, prompts.

A question counts as contained if all of it stands in a text, or thirteen words on end (as many as
the GPT-3 report takes, arXiv 2005.14165, appendix C) that stand in no other task; its answer, if that stands
within the next words. What is said in other words is not found.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sharpen.core.artifact import Artifact, Kind
from sharpen.core.policy import Policy
from sharpen.core.run import Scope
from sharpen.core.task import Split, Task
from sharpen.core.watch import Watcher
from sharpen.curation.near_duplicates import start_text
from sharpen.tasks.duplicates import WORD, Index, normal

SHINGLE = 13
"""Words on end that tell a text."""
SHORTEST = 3
"""A question of fewer words could stand anywhere by chance."""
BESIDE = 60
"""Words after a question in which its answer counts as told."""
MOST_BYTES = 8 << 20
"""A stored file is read up to here."""
UNREAD = frozenset({Kind.WEIGHTS, Kind.ADAPTER, Kind.REWARD_MODEL})
"""Parts of a policy that hold no text."""

Gram = tuple[str, ...]


class Leak(NamedTuple):
    """A held-out question that stands in a text."""

    place: int
    answered: bool
    """Its answer stands beside it."""


class Questions:
    """Held-out questions, for finding them in texts."""

    def __init__(self, held_out: Sequence[Task], known: Sequence[Task]) -> None:
        """`known` tasks are no secret: what also stands in them tells nothing."""
        self._answers = [words(task.answer) for task in held_out]
        found = [set(_telling(words(task.question))) for task in held_out]
        shared = Counter(gram for grams in found for gram in grams)
        self._lengths = sorted({len(gram) for gram in shared})
        public = {gram for task in known for gram in _windows(words(task.question), self._lengths)}
        self._places = {
            gram: place
            for place, grams in enumerate(found)
            for gram in grams
            if shared[gram] == 1 and gram not in public
        }
        self._first_words = {gram[0] for gram in self._places}

    def within(self, text: str) -> list[Leak]:
        """The questions in a text, in order of their places."""
        said = words(text)
        leaks: dict[int, bool] = {}
        starts = [start for start, word in enumerate(said) if word in self._first_words]
        for length in self._lengths:
            for start in starts:
                place = self._places.get(said[start : start + length])
                if place is not None and not leaks.get(place):
                    after = said[start + length : start + length + BESIDE]
                    leaks[place] = bool(self._answers[place]) and contains(after, self._answers[place])
        return [Leak(place, leaks[place]) for place in sorted(leaks)]


def words(text: str) -> Gram:
    """Words, numbers and signs, as they are compared."""
    return tuple(WORD.findall(normal(text)))


def contains(said: Gram, wanted: Gram) -> bool:
    """Whether the words stand on end among those that are said."""
    return any(said[i : i + len(wanted)] == wanted for i in range(len(said) - len(wanted) + 1))


def _telling(question: Gram) -> Iterator[Gram]:
    if SHORTEST <= len(question) < SHINGLE:
        yield question
    yield from _windows(question, [SHINGLE])


def _windows(said: Gram, lengths: Collection[int]) -> Iterator[Gram]:
    for length in lengths:
        yield from (said[i : i + length] for i in range(len(said) - length + 1))


class LeakWatch(Watcher):
    """Warns where held-out tasks are tried in training, or stand in what a policy is made of."""

    def __init__(self, train: Sequence[Task], val: Sequence[Task], test: Sequence[Task]) -> None:
        held_out = (*val, *test)
        self._splits = [Split.VAL] * len(val) + [Split.TEST] * len(test)
        self._seen = {task.key for task in (*train, *val)}
        self._index = Index([start_text(task) for task in held_out])
        self._questions = Questions(held_out, train)
        self._read: set[str] = set()
        self._warned: set[Leak] = set()

    def attempted(self, it: Scope, tasks: Sequence[Task]) -> None:
        """Warn of made tasks that are nearly the same as held-out ones."""
        made = {task.key: task for task in tasks if task.key not in self._seen}
        self._seen |= made.keys()
        near = [places[0] for task in made.values() if (places := self._index.like(start_text(task)))]
        if near:
            it.warn(
                f"{len(near)} of {len(made)} made tasks say the same as held-out ones "
                f"({self._counted(near)}): "
                "leave them out, or what is learnt from them is not a gain on new tasks"
            )

    def updated(self, it: Scope, policy: Policy) -> None:
        """Warn of held-out questions in memory, skills, programs and prompts."""
        for name, text in self._texts(it, policy):
            leaks = [leak for leak in self._questions.within(text) if leak not in self._warned]
            self._warned.update(leaks)
            if leaks:
                told, counts = sum(leak.answered for leak in leaks), self._counted([at for at, _ in leaks])
                it.warn(
                    f"{name} holds {len(leaks)} held-out questions ({counts}), {told} of them answered: "
                    "scores on them show what was copied, not what was learnt"
                )

    def _counted(self, places: Sequence[int]) -> str:
        counts = Counter(self._splits[place] for place in places)
        return ", ".join(f"{split} {counts[split]}" for split in Split if counts[split])

    def _texts(self, it: Scope, policy: Policy) -> Iterator[tuple[str, str]]:
        """What is new in the policy, by name."""
        prompt = policy.prompt.model_dump_json()
        if prompt not in self._read:
            self._read.add(prompt)
            yield "the prompt", texts_in(prompt.encode())
        for name, artifact in sorted(policy.parts.items()):
            if artifact.kind not in UNREAD and artifact.version not in self._read:
                self._read.add(artifact.version)
                yield name, "\n".join(_files(it, artifact))


def _files(it: Scope, artifact: Artifact) -> Iterator[str]:
    contents: Mapping[str, bytes] = it.contents(artifact)
    return (texts_in(contents[name][:MOST_BYTES]) for name in sorted(contents))


def texts_in(data: bytes) -> str:
    """All texts in a file: names and values of JSON or JSON lines, else the whole."""
    text = data.decode("utf-8", "replace")
    whole = _strings(text)
    if whole is not None:
        return whole
    known: list[str] = []
    for line in filter(str.strip, text.splitlines()):
        found = _strings(line)
        if found is None:
            return text
        known.append(found)
    return "\n".join(known) if known else text


def _strings(text: str) -> str | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return "\n".join(_leaves(value))


def _leaves(root: Any) -> list[str]:
    """Texts and numbers of a JSON value, in order."""
    found, open_values = [], [root]
    while open_values:
        value = open_values.pop()
        match value:
            case dict():
                open_values += [each for pair in reversed(value.items()) for each in reversed(pair)]
            case list():
                open_values += reversed(value)
            case None:
                pass
            case _:
                found.append(str(value))
    return found


def split_notes(train: Sequence[Task], val: Sequence[Task], test: Sequence[Task]) -> list[str]:
    """What to beware of in a split: training tasks that say the same as held-out ones."""
    index = Index([start_text(task) for task in (*val, *test)])
    near = sum(bool(index.like(start_text(task))) for task in train)
    if not near:
        return []
    return [f"{near} of {len(train)} training tasks say nearly the same as val or test tasks"]
