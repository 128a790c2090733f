"""Tasks and task sets. The test split is sealed: it opens once, for the report."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from enum import StrEnum
from functools import cached_property
from typing import TypeVar

from pydantic import Field, JsonValue

from sharpen.core.dialogue import Call, Picture
from sharpen.core.errors import BadInput, Sealed
from sharpen.core.records import Record, digest

T = TypeVar("T")

SINGLE_TURN = "single_turn"
"""The actor of tasks that are answered in one go."""


class Role(StrEnum):
    """Who speaks in a message of a task's start state."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


class Message(Record):
    """One message of a start state or partial history."""

    role: Role
    content: str
    pictures: tuple[Picture, ...] = Field(default=(), exclude_if=operator.not_)
    """Shown with the words, to models that see."""
    calls: tuple[Call, ...] = Field(default=(), exclude_if=operator.not_)
    """Functions that are called (role `assistant`)."""
    answers: str = Field(default="", exclude_if=operator.not_)
    """Id of the call whose result this is (role `tool`)."""


class Channel(StrEnum):
    """An information source that a recipe may look at; reports print the ones it used."""

    LABEL = "label"
    EXECUTION = "execution"
    VISIBLE_TESTS = "visible_tests"
    HIDDEN_TESTS = "hidden_tests"
    TEACHER = "teacher"
    ORACLE = "oracle"
    HUMAN = "human"


class Task(Record):
    """One problem: what the policy may see, and the hidden reference it is judged by."""

    messages: tuple[Message, ...]
    """The start state a policy sees; the last message is the question."""
    answer: str
    """Hidden reference answer; only verifiers and label-using recipes may read it."""
    solution: str | None = None
    """A worked solution, if the source has one (channel HUMAN)."""
    family: str = ""
    """Which task family or file the task came from."""
    environment: str = ""
    """Name of the environment a stepwise task is played in; see sharpen.environments."""
    world: JsonValue = None
    """Start state of that environment, hidden from the policy but for what the environment shows."""
    role: str = ""
    """The role the policy plays, in environments with several."""
    views: Mapping[str, str] = Field(default_factory=dict)
    """What each role is told in private before it first moves, by role name."""
    metadata: Mapping[str, JsonValue] = Field(default_factory=dict)
    """Anything the verifier needs beyond the answer."""

    @classmethod
    def ask(
        cls,
        question: str,
        answer: str,
        *,
        solution: str | None = None,
        family: str = "",
        metadata: Mapping[str, JsonValue] | None = None,
        pictures: tuple[Picture, ...] = (),
    ) -> Task:
        """Make a single-question task."""
        return cls(
            messages=(Message(role=Role.USER, content=question, pictures=pictures),),
            answer=answer,
            solution=solution,
            family=family,
            metadata=metadata or {},
        )

    @property
    def question(self) -> str:
        """Text of the last message."""
        return self.messages[-1].content

    @property
    def pictures(self) -> tuple[Picture, ...]:
        """All that are shown with it."""
        return tuple(picture for message in self.messages for picture in message.pictures)

    @cached_property
    def key(self) -> str:
        """Content hash of the whole task: 16 hex digits."""
        return digest(self)[:16]


class Split(StrEnum):
    """The three parts of a task set."""

    TRAIN = "train"
    VAL = "val"
    TEST = "test"


class TaskSet:
    """Ordered tasks in three disjoint splits; `test` raises until it is opened, once."""

    def __init__(
        self,
        name: str,
        *,
        train: Sequence[Task],
        val: Sequence[Task],
        test: Sequence[Task],
        verifier: str,
        actor: str = SINGLE_TURN,
        notes: Sequence[str] = (),
    ) -> None:
        """Default verifier, the actor that knows how such tasks are tried, and how the set was made."""
        self.name = name
        self.actor = actor
        self.train = tuple(train)
        self.val = tuple(val)
        self.verifier = verifier
        self.notes = tuple(notes)
        self._test: tuple[Task, ...] | None = tuple(test)
        self._opened = False
        self.sizes = {"train": len(self.train), "val": len(self.val), "test": len(self._test)}
        """Number of tasks of each split; counting does not open the test split."""
        for split, tasks in (("train", self.train), ("val", self.val), ("test", self._test)):
            if not tasks:
                raise BadInput(
                    split, name, "this split has no tasks", remedy=f"ask for at least one {split} task"
                )
        self._refuse_overlap(self._test)

    def _refuse_overlap(self, test: Sequence[Task]) -> None:
        seen: dict[str, str] = {}
        for split, tasks in (("train", self.train), ("val", self.val), ("test", test)):
            for task in tasks:
                if seen.setdefault(task.key, split) != split:
                    raise BadInput(
                        "task set",
                        self.name,
                        f"a task is in both {seen[task.key]} and {split}: {task.question[:60]!r}",
                        remedy="split by content, so that equal tasks stay on one side",
                    )

    @cached_property
    def fingerprint(self) -> str:
        """Content hash of all three splits, in order."""
        return digest([[task.key for task in part] for part in (self.train, self.val, self._held())])

    @property
    def test(self) -> tuple[Task, ...]:
        """Always raises: recipes have no business with the test split."""
        raise Sealed("the test split is sealed", remedy="use tasks.val; the report opens the test split once")

    def without_first_train(self, count: int) -> TaskSet:
        """The same set, sealed anew, without its first training tasks (they became examples)."""
        return TaskSet(
            self.name,
            train=self.train[count:],
            val=self.val,
            test=self._held(),
            verifier=self.verifier,
            actor=self.actor,
            notes=self.notes,
        )

    def noted(self, *notes: str) -> TaskSet:
        """The same set with more to say of how it was made."""
        more = copy(self)
        more.notes = (*self.notes, *notes)
        return more

    def sealed(self) -> TaskSet:
        """The same set without its test tasks, for recipes: whatever is called, they are not there."""
        _ = self.fingerprint
        closed = copy(self)
        closed._test = None
        return closed

    def held_out(self, look: Callable[[tuple[Task, ...], tuple[Task, ...]], T]) -> T:
        """What a check makes of the val and test tasks before work starts. Sealed where a recipe asks."""
        return look(self.val, self._held())

    def _held(self) -> tuple[Task, ...]:
        if self._test is None:
            raise Sealed(
                "recipes have no test split", remedy="use tasks.val; the report opens the test split"
            )
        return self._test

    def open_test(self) -> tuple[Task, ...]:
        """Hand the test split out; a second call raises Sealed, as any call does on what a recipe gets."""
        test = self._held()
        if self._opened:
            raise Sealed("the test split was opened before", remedy="start a new run to test again")
        self._opened = True
        return test
