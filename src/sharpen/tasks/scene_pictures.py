"""Pictures of scenes: two plain shapes on black, at a seeded place that fits the caption."""

from __future__ import annotations

import random

import numpy as np
import numpy.typing as npt

from sharpen.core.errors import BadInput
from sharpen.tasks.pictures import Pixels
from sharpen.tasks.scenes import Place, Scene, Size

Mask = npt.NDArray[np.bool_]

SMALL, BIG = 3, 5
"""Sides of objects in pixels."""
LEAST_SIDE = 2 * BIG + 2
PALETTE = {
    "red": (255, 0, 0),
    "green": (0, 255, 0),
    "blue": (0, 0, 255),
    "yellow": (255, 255, 0),
    "cyan": (0, 255, 255),
    "magenta": (255, 0, 255),
}


def mask_of(shape: str, side: int) -> Mask:
    """Which pixels of a square field a shape covers."""
    middle, steps = side // 2, np.arange(side)
    match shape:
        case "square":
            return np.ones((side, side), dtype=bool)
        case "cross":
            return np.asarray((steps[:, None] == middle) | (steps[None, :] == middle), dtype=bool)
        case "ring":
            inner = (steps > 0) & (steps < side - 1)
            return ~(inner[:, None] & inner[None, :])
        case "saltire":
            falling, rising = steps[:, None] == steps, steps[:, None] + steps == side - 1
            return np.asarray(falling | rising, dtype=bool)
        case _:
            raise BadInput("shape", shape, "is unknown", remedy="see sharpen.tasks.scenes.SHAPES")


def render(scene: Scene, rng: random.Random, *, side: int = LEAST_SIDE) -> Pixels:
    """A picture of the scene, `side` pixels wide and high; equal streams give equal pictures.

    The objects stand in the middle of two neighbouring quarters of the picture.
    """
    if side < LEAST_SIDE or side % 4:
        raise BadInput("side", side, "does not fit", remedy=f"give {LEAST_SIDE} or more, a multiple of 4")
    across = rng.randrange(2)
    first = scene.place in (Place.RIGHT, Place.BELOW)
    pixels = np.zeros((side, side, 3), dtype=np.uint8)
    for thing, size, along in zip(
        (scene.first, scene.second), _sides(scene.size, rng), (int(first), int(not first)), strict=True
    ):
        row, column = (across, along) if scene.place in (Place.LEFT, Place.RIGHT) else (along, across)
        top, left = ((side // 2) * cell + (side // 2 - size) // 2 for cell in (row, column))
        pixels[top : top + size, left : left + size][mask_of(thing.shape, size)] = PALETTE[thing.colour]
    return pixels


def _sides(size: Size, rng: random.Random) -> tuple[int, int]:
    match size:
        case Size.BIGGER:
            return BIG, SMALL
        case Size.SMALLER:
            return SMALL, BIG
        case Size.SAME:
            return (BIG, BIG) if rng.random() < 0.5 else (SMALL, SMALL)
