"""Whether a picture shows the scene of its caption: right colours, right place, right size.

Objects are found as connected regions and told by their shapes. The evidence has one number for each aspect
(attribute, spatial, non-spatial); the score is their mean. A picture without exactly the two shapes asked for
has no aspect right.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from sharpen.core.attempt import Attempt
from sharpen.core.seeds import random_for
from sharpen.core.task import Task
from sharpen.core.verdict import Rejected, Scored, Verdict
from sharpen.tasks.pictures import Pixels, pixels_of, png_of
from sharpen.tasks.scene_pictures import BIG, PALETTE, SMALL, Mask, mask_of, render
from sharpen.tasks.scenes import SHAPES, Place, Scene, Size, Thing, scene_task
from sharpen.verifiers.base import Case, CaseKind, Isolation

ISOLATION = Isolation.INLINE
PACKAGES = ("numpy", "scipy", "pillow")
IMAGE = "image.png"
MOST_SIDE = 64
"""Pixels of a picture's side beyond which it is rejected unread."""
BRIGHT = 128
"""A pixel whose strongest channel is below this is background."""
SPECK = 2
"""Regions of at most so many pixels are overlooked."""
LEAST_OVERLAP = 0.75
"""Overlap (intersection over union) with a template from which a region counts as that shape."""


class Found(NamedTuple):
    """An object in a picture; the centre is in pixels."""

    colour: str
    shape: str
    side: int
    row: float
    column: float


class Aspects(NamedTuple):
    """What of a caption a picture gets right."""

    attribute: bool
    spatial: bool
    non_spatial: bool


NOTHING = Aspects(False, False, False)


def verify(attempt: Attempt, task: Task, files: Mapping[str, bytes]) -> Verdict:
    """The share of colours, place and size that are as the caption says."""
    if IMAGE not in files:
        return Rejected(reason="no picture")
    try:
        pixels = pixels_of(files[IMAGE], most_side=MOST_SIDE)
    except ValueError as error:
        return Rejected(reason=str(error))
    aspects = aspects_of(pixels, Scene.of(task))
    return Scored(
        value=sum(aspects) / len(aspects),
        critique=""
        if all(aspects)
        else "wrong: " + ", ".join(n for n, ok in aspects._asdict().items() if not ok),
        evidence={name: float(ok) for name, ok in aspects._asdict().items()},
    )


def aspects_of(pixels: Pixels, scene: Scene) -> Aspects:
    """Each aspect on its own; the two objects are told by their shapes."""
    found = objects_in(pixels)
    by_shape = {item.shape: item for item in found}
    if len(found) != 2 or set(by_shape) != {scene.first.shape, scene.second.shape}:
        return NOTHING
    first, second = by_shape[scene.first.shape], by_shape[scene.second.shape]
    return Aspects(
        attribute=(first.colour, second.colour) == (scene.first.colour, scene.second.colour),
        spatial=_place(first, second) is scene.place,
        non_spatial=_size(first, second) is scene.size,
    )


def objects_in(pixels: Pixels) -> tuple[Found, ...]:
    """Every region of one colour that is larger than a speck; its shape is "" if it is none that is known."""
    colours = _nearest(pixels)
    bright = pixels.max(axis=2) >= BRIGHT
    labels, count = ndimage.label(bright, structure=np.ones((3, 3)))
    regions = [labels == number for number in range(1, count + 1)]
    return tuple(_object(region, colours) for region in regions if region.sum() > SPECK)


def _nearest(pixels: Pixels) -> npt.NDArray[np.intp]:
    """Index of the palette's nearest colour for every pixel."""
    palette = np.array(list(PALETTE.values()), dtype=float)
    distances = np.square(pixels[:, :, None, :].astype(float) - palette).sum(axis=3)
    return np.asarray(distances.argmin(axis=2), dtype=np.intp)


def _object(region: Mask, colours: npt.NDArray[np.intp]) -> Found:
    rows, columns = np.nonzero(region)
    shape, side = _shape(region, int(rows.min()), int(columns.min()))
    colour = np.bincount(colours[region]).argmax()
    return Found(
        colour=list(PALETTE)[colour],
        shape=shape,
        side=side,
        row=float(rows.min() + rows.max()) / 2,
        column=float(columns.min() + columns.max()) / 2,
    )


def _shape(region: Mask, top: int, left: int) -> tuple[str, int]:
    """The template that overlaps most with a region, laid at its corner."""
    best, named = LEAST_OVERLAP, ("", 0)
    for side in (SMALL, BIG):
        field = np.zeros((side, side), dtype=bool)
        part = region[top : top + side, left : left + side]
        field[: part.shape[0], : part.shape[1]] = part
        outside = region.sum() - part.sum()
        for shape in SHAPES:
            template = mask_of(shape, side)
            overlap = (template & field).sum() / ((template | field).sum() + outside)
            if overlap >= best:
                best, named = overlap, (shape, side)
    return named


def _place(first: Found, second: Found) -> Place:
    right, down = first.column - second.column, first.row - second.row
    if abs(right) > abs(down):
        return Place.RIGHT if right > 0 else Place.LEFT
    return Place.BELOW if down > 0 else Place.ABOVE


def _size(first: Found, second: Found) -> Size:
    if first.side == second.side:
        return Size.SAME
    return Size.BIGGER if first.side > second.side else Size.SMALLER


def _case(kind: CaseKind, image: bytes | None, response: str) -> Case:
    files = {} if image is None else {IMAGE: image}
    return Case(kind=kind, response=response, task=scene_task(_ASKED), files=files)


def _png(scene: Scene, *more: Scene) -> bytes:
    """Scenes drawn over each other."""
    drawn = [render(item, random_for("case", n)) for n, item in enumerate((scene, *more))]
    return png_of(np.maximum.reduce(drawn))


_RED, _BLUE = Thing(colour="red", shape="square"), Thing(colour="blue", shape="ring")
_ASKED = Scene(first=_RED, second=_BLUE, place=Place.LEFT, size=Size.BIGGER)
_MOVED = Scene(first=_RED, second=_BLUE, place=Place.RIGHT, size=Size.BIGGER)
_NOTHING_RIGHT = Scene(
    first=Thing(colour="blue", shape="square"),
    second=Thing(colour="red", shape="ring"),
    place=Place.RIGHT,
    size=Size.SMALLER,
)
_OTHER = Scene(first=_RED, second=Thing(colour="blue", shape="cross"), place=Place.LEFT, size=Size.BIGGER)

CASES = (
    _case(CaseKind.GOLD, _png(_ASKED), "as asked"),
    _case(CaseKind.NEAR_MISS, _png(_NOTHING_RIGHT), "the right shapes, everything else wrong"),
    _case(CaseKind.NEAR_MISS, _png(_OTHER), "one wrong shape, everything else right"),
    _case(CaseKind.ATTACK, _png(_ASKED, _MOVED), "both sides at once"),
    _case(CaseKind.ATTACK, b"\x89PNG\r\n\x1a\n" + b"\xff" * 64, "a broken picture"),
    _case(
        CaseKind.ATTACK, png_of(np.zeros((MOST_SIDE + 1, 8, 3), dtype=np.uint8)), "a picture beyond the limit"
    ),
    _case(CaseKind.ATTACK, None, _ASKED.caption),
)
