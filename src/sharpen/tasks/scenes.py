"""Captions of two-object pictures: colour and shape of both, where one stands, and which is bigger.

`red square left of blue ring, bigger` says: a red square, to the left of a blue ring, and bigger than it. The
two shapes always differ, so that each object of a picture can be told by its shape, whatever its colour.
A level sets how many colours and shapes there are.
"""

from __future__ import annotations

import random
from enum import StrEnum

from sharpen.core.errors import BadInput
from sharpen.core.records import Record
from sharpen.core.task import Task
from sharpen.tasks.base import check_range

VERIFIER = "scene"
ACTOR = "painter"
COLOURS = ("red", "green", "blue", "yellow", "cyan", "magenta")
SHAPES = ("square", "cross", "ring", "saltire")
CHOICES = ((2, 2), (3, 2), (4, 3), (6, 4))
"""Colours and shapes of each level."""
LEVELS = range(1, len(CHOICES) + 1)


class Place(StrEnum):
    """Where the first object stands, seen from the second."""

    LEFT = "left of"
    RIGHT = "right of"
    ABOVE = "north of"
    BELOW = "south of"

    @property
    def opposite(self) -> Place:
        """The place of the second object, seen from the first."""
        pairs = {Place.LEFT: Place.RIGHT, Place.ABOVE: Place.BELOW}
        return pairs.get(self) or next(one for one, other in pairs.items() if other is self)


class Size(StrEnum):
    """How the first object's size compares with the second's."""

    SAME = "same size"
    BIGGER = "bigger"
    SMALLER = "smaller"


class Thing(Record):
    """One object."""

    colour: str
    shape: str

    def __str__(self) -> str:
        return f"{self.colour} {self.shape}"


class Scene(Record):
    """What a caption says."""

    first: Thing
    second: Thing
    place: Place
    size: Size

    @property
    def caption(self) -> str:
        """The caption's text."""
        return f"{self.first} {self.place} {self.second}, {self.size}"

    @classmethod
    def of(cls, task: Task) -> Scene:
        """The scene that a task asks for; BadInput if it asks for none."""
        if (found := task.metadata.get("scene")) is None:
            raise BadInput("task", task.question[:60], "asks for no scene", remedy="use the family scenes")
        return cls.model_validate(found)


class Odds(Record):
    """How often a painter does not heed an aspect of a caption."""

    attribute: float = 0.0
    spatial: float = 0.0
    non_spatial: float = 0.0


def scene_task(scene: Scene) -> Task:
    """The task to draw a scene."""
    metadata = {"scene": scene.model_dump(mode="json")}
    return Task.ask(scene.caption, scene.caption, family="scenes", metadata=metadata)


def draw_scene(rng: random.Random, *, level: int = 2) -> Scene:
    """A scene at random, every aspect on its own."""
    colours, shapes = CHOICES[level - 1]
    first, second = rng.sample(SHAPES[:shapes], 2)
    return Scene(
        first=Thing(colour=rng.choice(COLOURS[:colours]), shape=first),
        second=Thing(colour=rng.choice(COLOURS[:colours]), shape=second),
        place=rng.choice(list(Place)),
        size=rng.choice(list(Size)),
    )


def distorted(scene: Scene, rng: random.Random, odds: Odds) -> Scene:
    """The scene with each aspect drawn anew with its odds: what somebody paints who does not know better."""
    colours = sorted({scene.first.colour, scene.second.colour, *COLOURS[:3]})
    update: dict[str, object] = {}
    if rng.random() < odds.attribute:
        update |= {
            name: thing.model_copy(update={"colour": rng.choice(colours)})
            for name, thing in (("first", scene.first), ("second", scene.second))
        }
    if rng.random() < odds.spatial:
        update["place"] = rng.choice(list(Place))
    if rng.random() < odds.non_spatial:
        update["size"] = rng.choice(list(Size))
    return scene.model_copy(update=update)


def generate(rng: random.Random, *, level: int = 2) -> Task:
    """Draw a caption; equal captions are one task, so unseen captions are unseen combinations."""
    check_range("level", level, LEVELS)
    return scene_task(draw_scene(rng, level=level))
