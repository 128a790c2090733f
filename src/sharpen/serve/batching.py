"""One thread that owns the model; requests wait in a line and are answered together."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace

from sharpen.core.attempt import Attempt
from sharpen.core.errors import Busy
from sharpen.serve.answering import Asked, Lane, answer, lane_of
from sharpen.serve.served import Served

Answer = Future[tuple[Attempt, ...]]
_GATHER_SECONDS = 0.005
"""How long the first of a line waits for company when nothing is being worked on."""


@dataclass(frozen=True)
class Ticket:
    """A request in the line."""

    asked: Asked
    lane: Lane
    answer: Answer


class Batcher:
    """Takes the oldest request and all that can be answered with it, as many samples as fit."""

    def __init__(
        self, served: Served, *, rows: int, waiting: int, watch: Callable[[int], None] = lambda rows: None
    ) -> None:
        """At most `rows` samples at a time, `waiting` requests in line; `watch` hears of every batch."""
        self._served, self._rows, self._most, self._watch = served, rows, waiting, watch
        self._line: list[Ticket] = []
        self._changed = threading.Condition()
        self._closed = False
        self._worker = threading.Thread(target=self._work, name="answers", daemon=True)
        self._worker.start()

    @property
    def waiting(self) -> int:
        """Requests in line."""
        return len(self._line)

    @property
    def alive(self) -> bool:
        """Whether there is somebody to answer."""
        return self._worker.is_alive()

    def submit(self, asked: Asked) -> Answer:
        """Get in line; Busy if it is full. Cancelling the answer leaves the line."""
        ticket = Ticket(asked, lane_of(self._served, asked), Future())
        with self._changed:
            self._line = [one for one in self._line if not one.answer.cancelled()]
            if len(self._line) >= self._most or self._closed:
                raise Busy(f"{self._most} requests are waiting", remedy="ask again a little later")
            self._line.append(ticket)
            self._changed.notify_all()
        return ticket.answer

    def close(self) -> None:
        """Answer nobody any more; those in line are told so."""
        with self._changed:
            self._closed = True
            for ticket in self._line:
                ticket.answer.cancel()
            self._line = []
            self._changed.notify_all()
        self._worker.join(timeout=60)

    def _work(self) -> None:
        while batch := self._next():
            self._watch(sum(ticket.asked.samples for ticket in batch))
            self._settle(batch)

    def _next(self) -> list[Ticket]:
        """The next batch; empty if the line is closed."""
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._line or self._closed)
                if self._closed:
                    return []
                self._changed.wait(_GATHER_SECONDS)
                taken = [ticket for ticket in self._taken() if ticket.answer.set_running_or_notify_cancel()]
                if taken:
                    return taken

    def _taken(self) -> list[Ticket]:
        taken: list[Ticket] = []
        rows = 0
        for ticket in self._line:
            together = not taken or ticket.lane == taken[0].lane
            if together and (not taken or rows + ticket.asked.samples <= self._rows):
                taken.append(ticket)
                rows += ticket.asked.samples
        # Tickets have no equality of their own worth the name: two requests may ask the same.
        chosen = set(map(id, taken))
        self._line = [ticket for ticket in self._line if id(ticket) not in chosen]
        return taken

    def _settle(self, batch: Sequence[Ticket]) -> None:
        """Answer a batch; if that fails, each alone, so that a bad request spoils nobody else's answer."""
        try:
            answers = answer(self._served, [ticket.asked for ticket in batch])
        except Exception as error:  # noqa: BLE001  # the thread must live on; the error goes to who asked
            if len(batch) == 1:
                batch[0].answer.set_exception(error)
                return
            for ticket in batch:
                # What was told of an answer stands; the same tokens must not be told twice.
                self._settle([replace(ticket, asked=replace(ticket.asked, hear=None))])
            return
        for ticket, found in zip(batch, answers, strict=True):
            ticket.answer.set_result(found)
