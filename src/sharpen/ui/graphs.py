"""Search trees and the lineage of policies as nodes with places; what a node says is sent when asked for."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from sharpen.core.errors import BadInput
from sharpen.core.records import Record
from sharpen.report.charts.graphs import layout
from sharpen.report.history import read_history
from sharpen.search.trees import Tree, Trees
from sharpen.ui.watching import Watch

MOST_NODES = 2_000
"""Nodes of one picture."""
PAGE = 100
"""Trees of one list."""
_SEARCHES = 20
"""Searches that are read for a list."""
MOST_ROWS = 5_000
"""Rows of the longest journal whose lineage is shown: all of them are read for it."""


class Spot(Record):
    """A node in its place: `x` counts leaves from the left, `y` levels from the top."""

    number: int
    parent: int | None
    x: float
    y: int
    kind: str
    """How it is drawn: chosen, end, tried; start, kept, adopted."""
    name: str
    worth: float | None
    weight: float
    """Its size, from 0 to 1."""


class Graph(Record):
    """A forest to look at."""

    title: str
    nodes: tuple[Spot, ...]
    unshown: int
    """Nodes beyond those."""


class TreeLine(Record):
    """A search tree in a list."""

    row: int
    place: int
    step: str
    task: str
    round: int
    nodes: int
    ends: int
    best: float | None
    """Worth of the best end."""


class TreePage(Record):
    """Some trees, the newest first, and where to go on."""

    items: tuple[TreeLine, ...]
    row: int | None


class NodeText(Record):
    """What was written at a node, and what the search found."""

    number: int
    text: str
    facts: dict[str, float | int | str]


def tree_page(watch: Watch, row: int) -> TreePage:
    """Trees of the searches in a row and before it; 0 stands for the newest."""
    upto, found = row or watch.tail.last(), list[TreeLine]()
    for mark in watch.searches(upto, _SEARCHES):
        trees = _trees(watch, mark.blob)
        found += [_line(mark.seq, at, mark.key, tree) for at, tree in enumerate(trees[:PAGE])]
        if len(found) >= PAGE:
            return TreePage(items=tuple(found), row=mark.seq - 1 or None)
    older = watch.searches(upto, _SEARCHES + 1)[_SEARCHES:]
    return TreePage(items=tuple(found), row=older[0].seq if older else None)


def _line(row: int, place: int, step: str, tree: Tree) -> TreeLine:
    ends = [node.value for node in tree.nodes if node.ended]
    return TreeLine(
        row=row,
        place=place,
        step=step,
        task=tree.task,
        round=tree.round,
        nodes=len(tree.nodes),
        ends=len(ends),
        best=max(ends, default=None),
    )


def tree_graph(watch: Watch, row: int, place: int) -> Graph:
    """One search tree; BadInput if there is none at that place."""
    tree = find_tree(watch, row, place)
    walk, most = set(tree.walk), max((node.visits for node in tree.nodes), default=1) or 1
    shown = tree.nodes[:MOST_NODES]
    spots = layout([node.parent for node in shown])
    return Graph(
        title=f"Search tree of task {tree.task}, round {tree.round}",
        nodes=tuple(
            Spot(
                number=number,
                parent=node.parent,
                x=spot.x,
                y=spot.depth,
                kind="chosen" if number in walk else "end" if node.ended else "tried",
                name=f"{node.q:.3g}",
                worth=node.value,
                weight=node.visits / most,
            )
            for number, (node, spot) in enumerate(zip(shown, spots, strict=True))
        ),
        unshown=len(tree.nodes) - len(shown),
    )


def tree_node(watch: Watch, row: int, place: int, number: int) -> NodeText:
    """What stands at a node of a search tree; BadInput if there is no such node."""
    tree = find_tree(watch, row, place)
    if number >= len(tree.nodes):
        raise BadInput("node", number, "there is no such node", remedy="take one of the tree's")
    node = tree.nodes[number]
    facts: dict[str, float | int | str] = {
        "visits": node.visits,
        "Q": node.q,
        "own value": node.value,
        "prior": node.prior,
        "ended": "yes" if node.ended else "no",
        "stop": node.stop.value,
    }
    return NodeText(number=number, text=node.text[:16_000], facts=facts)


def find_tree(watch: Watch, row: int, place: int) -> Tree:
    """A tree of a search; BadInput if there is none at that place."""
    at = watch.tail.at(row)
    trees = _trees(watch, at.entry.blob) if at is not None and at.entry.verb == "search" else ()
    if place >= len(trees):
        raise BadInput("row", row, "there is no such search tree", remedy="take one of the list")
    return trees[place]


def _trees(watch: Watch, blob: str) -> tuple[Tree, ...]:
    try:
        return Trees.model_validate_json(watch.store.get(blob)).items
    except ValidationError:  # the search looked for something else than trees
        return ()


def lineage_graph(folder: Path, rows: int) -> Graph:
    """Which policy was made from which; BadInput for a journal of too many rows to be read at once."""
    if rows > MOST_ROWS:
        raise BadInput(
            "run",
            folder.name,
            f"has {rows:,} rows, too many for this view",
            remedy=f"`sharpen report {folder}`",
        )
    born = read_history(folder).born if rows else ()
    shown = born[:MOST_NODES]
    place = {item.version: at for at, item in enumerate(shown)}
    parents = [
        next((place[p] for p in item.parents if place.get(p, at) < at), None) for at, item in enumerate(shown)
    ]
    nodes = tuple(
        Spot(
            number=at,
            parent=parents[at],
            x=spot.x,
            y=spot.depth,
            kind=item.standing,
            name=item.version[:8],
            worth=item.score,
            weight=item.score if item.score is not None and 0 <= item.score <= 1 else 0.0,
        )
        for at, (item, spot) in enumerate(zip(shown, layout(parents), strict=True))
    )
    return Graph(title="Lineage of policies", nodes=nodes, unshown=len(born) - len(shown))
