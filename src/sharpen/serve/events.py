"""A streamed reply: server-sent events of the OpenAI protocol, as tokens are drawn."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

from sharpen.core.attempt import Attempt
from sharpen.core.errors import SharpenError
from sharpen.serve.answering import Asked
from sharpen.serve.batching import Answer
from sharpen.serve.errors import refusal_of
from sharpen.serve.streaming import Teller
from sharpen.serve.wire import Envelope, Refusal, spoken, usage_of


class Stream:
    """One reply. An answer that is not one growing text is told when it is done, in one piece."""

    def __init__(
        self, envelope: Envelope, asked: Asked, decode: Callable[[Sequence[int]], str], stops: Sequence[str]
    ) -> None:
        """Made in the loop that sends it; `hear` may be called from any thread."""
        self._envelope, self._asked = envelope, asked
        self._loop = asyncio.get_running_loop()
        self._news: asyncio.Queue[tuple[int, int] | None] = asyncio.Queue()
        self._tellers = [Teller(decode, stops, strip=not asked.raw) for _ in range(asked.samples)]

    def hear(self, index: int, token: int) -> None:
        """A token of a sample was drawn."""
        self._loop.call_soon_threadsafe(self._news.put_nowait, (index, token))

    def end(self, answer: Answer) -> None:
        """Nothing more will be drawn."""
        self._loop.call_soon_threadsafe(self._news.put_nowait, None)

    async def events(
        self, answer: Answer, *, usage: bool, seconds: float, done: Callable[[Sequence[Attempt]], None]
    ) -> AsyncIterator[str]:
        """The whole reply; what goes wrong on the way is an event, too."""
        try:
            async with asyncio.timeout(seconds):
                async for event in self._pieces():
                    yield event
            attempts = answer.result(timeout=0)
            done(attempts)
            for event in self._last(attempts, usage=usage):
                yield event
        except TimeoutError:
            yield _event(Refusal(504, "timeout", "there is no answer in time").body)
        except SharpenError as error:
            yield _event(refusal_of(error).body)
        finally:
            answer.cancel()

    async def _pieces(self) -> AsyncIterator[str]:
        if self._envelope.chat:
            for index in range(self._asked.samples):
                yield self._chunk({"index": index, "delta": {"role": "assistant", "content": ""}})
        while (heard := await self._news.get()) is not None:
            index, token = heard
            if piece := self._tellers[index].hear(token):
                yield self._chunk(self._envelope.piece(index, piece))

    def _last(self, attempts: Sequence[Attempt], *, usage: bool) -> Iterator[str]:
        for index, attempt in enumerate(attempts):
            sample = spoken(attempt, self._asked)
            if sample.refusal is None and (piece := self._tellers[index].rest(sample.text)):
                yield self._chunk(self._envelope.piece(index, piece))
            if more := self._envelope.beside(index, sample):
                yield self._chunk(more)
            yield self._chunk(self._envelope.piece(index, "", sample.reason))
        if usage:
            yield _event(self._envelope.wrap([], chunk=True, usage=usage_of([attempts])))
        yield "data: [DONE]\n\n"

    def _chunk(self, choice: dict[str, Any]) -> str:
        whole = {"finish_reason": None, "logprobs": None, **choice}
        return _event(self._envelope.wrap([whole], chunk=True))


def _event(body: dict[str, Any]) -> str:
    return f"data: {json.dumps(body)}\n\n"
