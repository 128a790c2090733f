"""Charts of things that descend from each other: search trees, lineage of policies, growth of parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sharpen.core.records import Record
from sharpen.report.charts.base import (
    Chart,
    Row,
    Spec,
    count,
    kind_of,
    mark,
    number,
    slug,
    spec,
    table,
    tips,
    whole,
)
from sharpen.report.text import one_line
from sharpen.search.trees import Tree

MOST_NODES = 2_000
"""Nodes of one picture."""
LABEL = 80
"""Characters of a text that a pointer is told."""
PAN = {"name": "pan", "select": {"type": "interval", "zoom": "wheel![event.shiftKey]"}, "bind": "scales"}
"""Drag to pan, shift and wheel to zoom, so that a page still scrolls."""


class Born(Record):
    """A policy that the run made, or began with."""

    version: str
    parents: tuple[str, ...]
    """Versions of policies of this run that it was made from."""
    place: str
    """The step that made it."""
    score: float | None
    """Mean score of its attempts that were judged: validation ones if there are any."""
    tasks: int
    """Known verdicts behind the score."""
    standing: str
    """start, kept, adopted, or tried."""


class Grown(Record):
    """Size of a part of a policy after one step."""

    step: int
    """Count of the run's updates."""
    place: str
    part: str
    bytes: int
    files: int
    items: int | None
    """Entries of a memory, skills of a library; None for parts that have none."""


class Spot(NamedTuple):
    """Where a node is drawn."""

    x: float
    depth: int


def layout(parents: Sequence[int | None]) -> list[Spot]:
    """Places of a forest's nodes: leaves side by side, parents above the middle of their children.

    Parents must come before their children, else ValueError.
    """
    children: list[list[int]] = [[] for _ in parents]
    depth = [0] * len(parents)
    for number_of, parent in enumerate(parents):
        if parent is not None:
            if not 0 <= parent < number_of:
                raise ValueError(f"node {number_of} stands before its parent {parent}")
            children[parent].append(number_of)
            depth[number_of] = depth[parent] + 1
    xs, free, waiting = [0.0] * len(parents), 0, [n for n, p in enumerate(parents) if p is None][::-1]
    order: list[int] = []
    while waiting:
        order.append(waiting.pop())
        waiting += children[order[-1]][::-1]
    for node in order:
        if not children[node]:
            xs[node], free = float(free), free + 1
    for node in reversed(order):
        if children[node]:
            xs[node] = (xs[children[node][0]] + xs[children[node][-1]]) / 2
    return [Spot(x, at) for x, at in zip(xs, depth, strict=True)]


def search_tree(tree: Tree, name: str) -> Chart:
    """One search: nodes by depth, larger the more they were visited; the chosen line stands out."""
    nodes = tree.nodes[:MOST_NODES]
    walk = set(tree.walk)
    rows: list[Row] = [
        {
            "node": number_of,
            "visits": node.visits,
            "q": node.q,
            "value": node.value,
            "prior": node.prior,
            "kind": "chosen line" if number_of in walk else "end" if node.ended else "tried",
            "text": one_line(node.text, LABEL),
        }
        for number_of, node in enumerate(nodes)
    ]
    told = tips(node="node", visits="visits", q="Q", value="own value", prior="prior", text="text")
    shown = f" (the first {MOST_NODES:,} shown)" if len(tree.nodes) > MOST_NODES else ""
    best = max((node.value for node in nodes if node.ended), default=None)
    ends = count(sum(node.ended for node in nodes), "end") + (
        f", the best worth {best:.3g}" if best is not None else ""
    )
    return Chart(
        name=name,
        title=f"Search tree of task {tree.task[:12]}, round {tree.round}",
        summary=f"{count(len(tree.nodes), 'node')}{shown}, {ends}; "
        f"chosen line {' > '.join(map(str, tree.walk))}. Larger: more visits.",
        spec=_graph(
            rows,
            [node.parent for node in nodes],
            order=["chosen line", "end", "tried"],
            told=told,
            size=number("visits", "visits", scale={"range": [20, 320]}, legend=None),
        ),
        table=table(
            rows,
            node="node",
            kind="kind",
            visits="visits",
            q="Q",
            value="own value",
            prior="prior",
            text="text",
        ),
    )


def lineage(born: Sequence[Born]) -> Chart | None:
    """Which policy was made from which, with their scores; None for fewer than three."""
    if len(born) < 3:
        return None
    shown = born[:MOST_NODES]
    place = {item.version: at for at, item in enumerate(shown)}
    before = [
        next((place[p] for p in item.parents if place.get(p, at) < at), None) for at, item in enumerate(shown)
    ]
    rows: list[Row] = [
        {
            "node": at,
            "version": item.version,
            "kind": item.standing,
            "score": item.score,
            "weight": item.score or 0.0,
            "tasks": item.tasks,
            "place": item.place,
            "parents": ", ".join(item.parents),
        }
        for at, item in enumerate(shown)
    ]
    told = tips(version="version", kind="standing", score="score", tasks="verdicts", place="made in")
    best = max((item for item in born if item.score is not None), key=lambda b: b.score or 0.0, default=None)
    top = f"; the highest score {best.score:.3g} has {best.version}" if best else ""
    sizes = [20, 260] if len(shown) <= 100 else [8, 110]
    generations = max(spot.depth for spot in layout(before)) + 1
    return Chart(
        name="lineage",
        title="Lineage of policies",
        summary=f"{len(born)} policies in {count(generations, 'generation')}{top}. Larger: a higher score.",
        spec=_graph(
            rows,
            before,
            order=["start", "kept", "adopted", "tried"],
            told=told,
            size=number("weight", "score", scale={"range": sizes}, legend=None),
        ),
        table=table(
            rows,
            version="version",
            parents="made from",
            kind="standing",
            score="score",
            tasks="verdicts",
            place="made in",
        ),
    )


def _graph(
    rows: Sequence[Row], parents: Sequence[int | None], *, order: list[str], told: list[Spec], size: Spec
) -> Spec:
    spots = layout(parents)
    nodes: list[Row] = [
        {**row, "x": spot.x, "depth": spot.depth} for row, spot in zip(rows, spots, strict=True)
    ]
    edges: list[Row] = [
        {"x": spots[p].x, "depth": spots[p].depth, "x2": spot.x, "depth2": spot.depth}
        for spot, p in zip(spots, parents, strict=True)
        if p is not None
    ]
    depths = {"format": "d", "tickMinStep": 1, "grid": False}
    x = number("x", "", axis=None, scale={"zero": False, "padding": 14})
    y = number("depth", "depth", sort="descending", axis=depths, scale={"padding": 14, "nice": False})
    lines = mark("rule", {"x": x, "y": y, "x2": {"field": "x2"}, "y2": {"field": "depth2"}}, opacity=0.45)
    dots = mark(
        "point",
        {
            "x": x,
            "y": y,
            "color": kind_of("kind", None, order),
            "shape": kind_of("kind", None, order),
            "size": size,
            "tooltip": told,
        },
        filled=True,
        opacity=0.9,
    )
    deepest = max((spot.depth for spot in spots), default=0)
    return spec(
        nodes,
        {"data": {"values": edges}, **lines},
        {**dots, "params": [PAN]},
        height=min(640, 110 + 34 * deepest),
    )


def growth(grown: Sequence[Grown]) -> list[Chart]:
    """Size of memories, skills, programs and prompts over the run's updates, one chart a part."""
    return [_growth(part, [g for g in grown if g.part == part]) for part in _parts(grown)]


def _parts(grown: Sequence[Grown]) -> list[str]:
    return list(dict.fromkeys(item.part for item in grown))


def _growth(part: str, sizes: Sequence[Grown]) -> Chart:
    counted = all(item.items is not None for item in sizes)
    unit = "entries" if counted else "bytes"
    rows: list[Row] = [{**item.model_dump(), "size": item.items if counted else item.bytes} for item in sizes]
    encoding = {
        "x": whole("step", "update"),
        "y": number("size", unit, form="~s"),
        "tooltip": tips(place="step", size=unit, bytes="bytes", files="files"),
    }
    return Chart(
        name=slug("growth", part),
        title=f"Growth of {part.replace('_', ' ')}",
        summary=f"{part}: {rows[0]['size']:,} {unit} after the first update, "
        f"{rows[-1]['size']:,} after the last of {len(rows)}.",
        spec=spec(rows, mark("line", encoding, point=True, interpolate="step-after"), height=140),
        table=table(rows, step="update", place="step", items="entries", files="files", bytes="bytes"),
        small=True,
    )
