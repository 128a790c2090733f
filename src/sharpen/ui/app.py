"""The addresses that the page asks, over one folder of runs."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Annotated

from anyio import sleep, to_thread
from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent
from fastapi.staticfiles import StaticFiles

from sharpen.core.errors import BadInput, SharpenError
from sharpen.core.records import Record, encode
from sharpen.report.charts.theme import BY_STYLE_SHEET, theme
from sharpen.report.page import asset
from sharpen.ui import attempts, graphs
from sharpen.ui.comparing import compare
from sharpen.ui.control import Asked, Control
from sharpen.ui.desk import Desk, Told, charts, configured, steps
from sharpen.ui.guard import Guard
from sharpen.ui.shelf import Card, Shelf, State, stamp_of

STATIC = Path(__file__).with_name("static")
EVERY = 1.0
"""Seconds between two looks at what somebody is watching, if no file of it has changed."""
GLANCE = 0.05
"""Seconds between two looks at whether a file has."""
PAGE = 100
"""Runs of a page of the list."""

Number = Annotated[int, Query(ge=0, le=2**53)]
Name = Annotated[str, Query(max_length=1000)]


class Cards(Record):
    """A page of the list of runs."""

    items: tuple[Card, ...]
    found: int
    """Runs that the filters let through."""
    total: int
    states: dict[State, int]
    """How many runs there are of each state, whatever the filters."""


class Order(Record):
    """What is asked to be done."""

    run: str
    budget: str = ""
    """New limits for a run that is resumed; those it has, if empty."""


def build(runs: Path, token: str, port: int) -> Guard:
    """The application: it shows the runs below a folder, to whoever knows the token."""
    app = FastAPI(title="sharpen ui", docs_url=None, redoc_url=None, openapi_url=None)
    shelf, desk, control = Shelf(runs), Desk(), Control()
    app.add_exception_handler(SharpenError, _refused)
    app.add_exception_handler(RequestValidationError, _misread)
    _lists(app, shelf, desk)
    _one_run(app, shelf, desk, control)
    _attempts(app, shelf, desk)
    _graphs(app, shelf, desk)
    _actions(app, shelf, control)
    _shared(app)
    app.mount("/", StaticFiles(directory=STATIC, html=True))
    return Guard(app, token, port)


def _refused(request: Request, error: Exception) -> JSONResponse:
    status = 404 if isinstance(error, BadInput) else 409
    return JSONResponse({"error": str(error)}, status_code=status)


def _misread(request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"error": "the request has a field that is missing or wrong"}, status_code=422)


def _json(value: object) -> Response:
    return Response(encode(value), media_type="application/json")


def _shared(app: FastAPI) -> None:
    """What the live page and reports draw their charts with."""

    @app.get("/charts.js")
    def library() -> Response:
        module = f"{asset('charts.js')}\nexport default sharpenCharts;\n"
        return Response(module, media_type="text/javascript")

    @app.get("/theme.json")
    def colours() -> Response:
        return _json(theme(BY_STYLE_SHEET))


def _lists(app: FastAPI, shelf: Shelf, desk: Desk) -> None:
    def chosen(q: str, state: State | None, begin: int) -> Cards:
        cards = shelf.cards()
        words = q.lower().split()
        found = [card for card in cards if state in (None, card.state) and _matches(card, words)]
        states = {kind: sum(card.state is kind for card in cards) for kind in State}
        return Cards(
            items=tuple(found[begin : begin + PAGE]), found=len(found), total=len(cards), states=states
        )

    @app.get("/api/runs")
    def runs(q: Name = "", state: State | None = None, begin: Number = 0) -> Response:
        return _json(chosen(q, state, begin))

    @app.get("/api/runs/events", response_class=EventSourceResponse)
    async def runs_events(
        q: Name = "", state: State | None = None, begin: Number = 0
    ) -> AsyncIterator[ServerSentEvent]:
        last = b""
        while True:
            now = encode(await to_thread.run_sync(chosen, q, state, begin))
            if now != last:
                yield ServerSentEvent(raw_data=now.decode())
                last = now
            await sleep(EVERY)

    @app.get("/api/compare")
    def side_by_side(run: Annotated[list[str], Query(max_length=8)]) -> Response:
        names = list(dict.fromkeys(run))
        return _json(compare({name: (shelf.card(name), desk.run(shelf.folder(name))) for name in names}))


def _matches(card: Card, words: list[str]) -> bool:
    text = f"{card.name} {card.recipe} {card.model} {card.task} seed={card.seed}".lower()
    return all(word in text for word in words)


def _one_run(app: FastAPI, shelf: Shelf, desk: Desk, control: Control) -> None:
    def told(run: str) -> Told:
        folder = shelf.folder(run)
        return desk.run(folder).tell(partial(shelf.card, run), partial(control.resumed, folder))

    @app.get("/api/run")
    def one(run: Name) -> Response:
        return Response(told(run).body, media_type="application/json")

    @app.get("/api/run/events", response_class=EventSourceResponse)
    async def events(run: Name) -> AsyncIterator[ServerSentEvent]:
        async for event in _news(shelf.folder(run), partial(told, run)):
            yield event

    @app.get("/api/run/charts")
    def pictures(run: Name) -> Response:
        return _json(charts(desk.run(shelf.folder(run))))

    @app.get("/api/run/configuration")
    def configuration(run: Name) -> Response:
        return _json(configured(desk.run(shelf.folder(run))))

    @app.get("/api/run/steps")
    def journal(run: Name, before: Number = 0) -> Response:
        return _json(steps(shelf.folder(run), before))


async def _news(folder: Path, tell: Callable[[], Told]) -> AsyncIterator[ServerSentEvent]:
    """What is told of a run, again and again when it has changed; ends when the run is gone."""
    told, last, until = Told(b"", None), b"", 0.0
    while True:
        if monotonic() >= until or stamp_of(folder) != told.stamp:
            until = monotonic() + EVERY
            try:
                told = await to_thread.run_sync(tell)
            except SharpenError as error:
                yield ServerSentEvent(event="gone", raw_data=json.dumps(str(error)))
                return
            if told.body != last:
                yield ServerSentEvent(raw_data=told.body.decode())
                last = told.body
        await sleep(GLANCE)


def _attempts(app: FastAPI, shelf: Shelf, desk: Desk) -> None:
    @app.get("/api/run/attempts")
    def page(
        run: Name,
        task: Name = "",
        outcome: attempts.Outcome | None = None,
        row: Number = 0,
        place: Number = 0,
    ) -> Response:
        opened = desk.run(shelf.folder(run))
        return _json(attempts.page(opened.watch, opened.pairing, task, outcome, row, place))

    @app.get("/api/run/attempt")
    def trace(run: Name, row: Number, place: Number) -> Response:
        opened = desk.run(shelf.folder(run))
        manifest = opened.manifest()
        model = manifest.spec.model if manifest else ""
        return _json(attempts.trace(opened.watch, opened.pairing, model, row, place))

    @app.get("/api/run/text")
    def text(run: Name, row: Number, place: Number, turn: Number, begin: Number) -> Response:
        opened = desk.run(shelf.folder(run))
        return _json(attempts.piece(opened.watch, opened.pairing, row, place, turn, begin))


def _graphs(app: FastAPI, shelf: Shelf, desk: Desk) -> None:
    @app.get("/api/run/trees")
    def trees(run: Name, row: Number = 0) -> Response:
        opened = desk.run(shelf.folder(run))
        opened.look()
        return _json(graphs.tree_page(opened.watch, row))

    @app.get("/api/run/tree")
    def tree(run: Name, row: Number, place: Number) -> Response:
        return _json(graphs.tree_graph(desk.run(shelf.folder(run)).watch, row, place))

    @app.get("/api/run/node")
    def node(run: Name, row: Number, place: Number, number: Number) -> Response:
        return _json(graphs.tree_node(desk.run(shelf.folder(run)).watch, row, place, number))

    @app.get("/api/run/lineage")
    def lineage(run: Name) -> Response:
        return _json(desk.run(shelf.folder(run)).lineage())

    @app.get("/api/run/changes")
    def changed(run: Name) -> Response:
        return _json(desk.run(shelf.folder(run)).changes())


def _actions(app: FastAPI, shelf: Shelf, control: Control) -> None:
    @app.post("/api/run/stop")
    def stop(order: Order) -> Asked:
        return control.stop(shelf.folder(order.run))

    @app.post("/api/run/resume")
    def resume(order: Order) -> Asked:
        return control.resume(shelf.folder(order.run), order.budget)
