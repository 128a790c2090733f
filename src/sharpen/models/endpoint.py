"""A model behind somebody's interface: asked in parallel, as much as it bears, retried, cached, metered.

What is special to one interface is its wire (see sharpen.models.openai and its siblings); all else is here.

An endpoint keeps its token ids to itself, so responses carry the id -1 once per token it counted: lengths
and meters are right, and no learner can mistake them for real ids. For the same reason the capability
LOGPROBS is never declared (given text cannot be scored), even where sampled tokens bring their own.

A request that fails for good is an attempt that failed (`Stop.FAILED`), which judges see as unknown, never as
wrong. If more than a few of one call fail, the endpoint is held to be down, and the call is Unavailable.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NamedTuple, Protocol, get_type_hints
from urllib.parse import urlsplit

from pydantic import Field, JsonValue

from sharpen.core.attempt import Stop
from sharpen.core.dialogue import Calling
from sharpen.core.errors import BadInput, Unavailable
from sharpen.core.policy import PromptForm, Style
from sharpen.core.records import Record, digest
from sharpen.core.seeds import random_for
from sharpen.core.spec import Spec
from sharpen.core.task import Message, Role
from sharpen.models.base import Capability, Completion, Completions, Decoding, Prompt
from sharpen.models.dialogue import CHAT_MARK, PICTURES, read, written
from sharpen.models.replies import Reply, ReplyCache
from sharpen.models.throttle import RetryBudget, Throttle

HIDDEN_TOKEN = -1
"""Stands for a token whose id the endpoint does not tell."""
SEED_RANGE = 2**31
MOST_BYTES = 16 << 20
"""Of one reply; an endpoint that sends more is broken or hostile."""
LONGEST_WAIT = 60.0
"""Seconds before a further try, whatever the endpoint asks for."""
_FIRST_WAIT = 0.25
_REMEDIES = {
    Capability.PREFIX: "route=completions",
    Capability.SCHEMA: "json_schema=true",
    Capability.TOOLS: "tools=true",
    Capability.IMAGES: "images=true",
}


class Route(StrEnum):
    """Which interface of the endpoint is used."""

    CHAT = "chat"
    COMPLETIONS = "completions"
    """Plain text to be continued; allows a forced start."""


class Options(Record):
    """How an endpoint is used; written as `openai:NAME@URL?route=completions&concurrency=8`."""

    route: Route = Route.CHAT
    concurrency: Annotated[int, Field(ge=1, le=256)] = 8
    """Most requests in flight at a time; fewer while the endpoint cannot take them."""
    timeout: Annotated[float, Field(gt=0)] = 120.0
    """Seconds a request may take, to the last byte of its reply."""
    retries: Annotated[int, Field(ge=0, le=20)] = 5
    """Further tries after a time-out, a refusal for load (429), a server error or a broken reply."""
    retry_share: Annotated[float, Field(ge=0)] = 0.5
    """Further tries of all requests together, as a share of them; a few are free."""
    tolerate: Annotated[float, Field(ge=0, le=1)] = 0.05
    """Share of the requests of one call that may fail for good before the endpoint is held to be down."""
    cache: bool = False
    """Keep replies on disk, and pay for the same question once."""
    logprobs: bool = False
    """Ask for the log-probabilities of sampled tokens."""
    sampling: bool | None = None
    """Send temperature, top_p and seed, which some models refuse; else they draw as they please."""
    json_schema: bool = False
    """The endpoint can be held to a JSON schema: judges then choose among words instead of writing them."""
    tools: bool = False
    """The endpoint takes functions: environments with tools then offer them as such."""
    images: bool = False
    """The endpoint sees pictures in a dialogue."""
    input_price: Annotated[float, Field(ge=0)] | None = None
    """Dollars per million prompt tokens."""
    output_price: Annotated[float, Field(ge=0)] | None = None
    """Dollars per million response tokens."""


class Spent(NamedTuple):
    """What an endpoint has been asked for so far."""

    requests: int = 0
    """Those that were answered by the endpoint."""
    prompt_tokens: int = 0
    response_tokens: int = 0
    dollars: float | None = None
    """None if no prices were given."""
    retries: int = 0
    cached: int = 0
    """Requests that were answered from disk."""
    failed: int = 0
    """Requests that failed for good."""


class Request(NamedTuple):
    """One sample that is wanted."""

    prompt: Prompt
    seed: int
    decoding: Decoding

    @property
    def messages(self) -> list[Message]:
        """The dialogue that the prompt text stands for."""
        text = self.prompt.text
        if not text.startswith(CHAT_MARK):
            return [Message(role=Role.USER, content=text)]
        return read(text.removeprefix(CHAT_MARK))


class Trouble(Exception):
    """A request failed in a way that may pass."""

    def __init__(self, what: str, remedy: str, *, overload: bool = True, wait: float | None = None) -> None:
        """`overload` if asking less at a time may help; `wait` in seconds if the endpoint said so."""
        super().__init__(what)
        self.what, self.remedy, self.overload, self.wait = what, remedy, overload, wait


class Wire(Protocol):
    """One interface: how a request is written and how its reply is read."""

    @property
    def name(self) -> str:
        """As the user called it."""

    @property
    def identity(self) -> JsonValue:
        """What decides its replies beside what is asked."""

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What it can do beyond sampling."""

    def ask(self, request: Request) -> Reply:
        """One reply. Trouble for what may pass; Unavailable for what will not, such as a refused key."""

    def probe(self) -> None:
        """Unavailable if nobody answers or the key is refused."""


@dataclass(frozen=True)
class Address:
    """What the user wrote: which model, where, how."""

    model: str
    url: str
    options: Options

    @classmethod
    def parse(cls, written: str, *, kind: str, official: str) -> Address:
        """Read `NAME@URL?options`, or `NAME` at the official endpoint."""
        spec = Spec.parse(written, kind="model")
        model, at, url = spec.name.rpartition("@")
        model, url = (model, url) if at else (spec.name, official)
        if not model or urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
            example = f"{kind}:NAME@http://HOST:PORT/v1"
            raise BadInput("model", f"{kind}:{written}", "is not NAME@URL", remedy=example)
        hints = get_type_hints(Options, include_extras=True)
        accepted = {name: hints[name] for name in Options.model_fields}
        return cls(model, url, Options(**spec.bind(accepted, kind="model")))


class Endpoint:
    """A model behind a wire."""

    def __init__(self, wire: Wire, options: Options) -> None:
        """Nothing is asked yet."""
        self.wire = wire
        self._options = options
        self._throttle = Throttle(options.concurrency)
        self._budget = RetryBudget(options.retry_share)
        self._cache = ReplyCache() if options.cache else None
        self._lock = threading.Lock()
        self._spent = Spent()

    @property
    def name(self) -> str:
        """What the user called it."""
        return self.wire.name

    @property
    def fingerprint(self) -> str:
        """Hash of endpoint, route and model name; what the endpoint serves under it may change unseen."""
        return digest(self.wire.identity)

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What the wire can do."""
        return self.wire.capabilities

    @property
    def form(self) -> PromptForm:
        """Dialogues, but for a route that continues text."""
        return PromptForm(style=Style.PLAIN if self._options.route is Route.COMPLETIONS else Style.CHAT)

    @property
    def spent(self) -> Spent:
        """Requests and tokens so far, and dollars if the prices are known."""
        spent = self._spent._replace(retries=self._budget.used)
        prices = (self._options.input_price, self._options.output_price)
        if prices[0] is None or prices[1] is None:
            return spent
        return spent._replace(
            dollars=(spent.prompt_tokens * prices[0] + spent.response_tokens * prices[1]) / 1e6
        )

    @property
    def dollars(self) -> float | None:
        """What was spent so far; None if that is unknown."""
        return self.spent.dollars

    def probe(self) -> None:
        """Unavailable if nobody answers or the key is refused."""
        self.wire.probe()

    def chat(self, messages: Sequence[Message]) -> str:
        """Messages as a prompt text, which `sample` turns back into messages; see sharpen.models.dialogue."""
        return CHAT_MARK + written(messages)

    def sample(self, prompts: Sequence[Prompt], decoding: Decoding) -> list[Completions]:
        """One request per seed, several at a time; results in the order of prompts and seeds."""
        self._check(prompts)
        jobs = [Request(prompt, seed, decoding) for prompt in prompts for seed in prompt.seeds]
        with ThreadPoolExecutor(self._options.concurrency, thread_name_prefix="endpoint") as pool:
            pending = [pool.submit(self._settled, job) for job in jobs]
            try:
                replies = iter(list(self._gathered(pending)))
            finally:
                for job in pending:
                    job.cancel()
        return [_completions([next(replies) for _ in prompt.seeds]) for prompt in prompts]

    def _check(self, prompts: Sequence[Prompt]) -> None:
        wanted = {
            Capability.PREFIX: any(prompt.prefix for prompt in prompts),
            Capability.SCHEMA: any(prompt.schema for prompt in prompts),
            Capability.TOOLS: any(prompt.tools for prompt in prompts),
            Capability.IMAGES: any(PICTURES in prompt.text and _sees(prompt) for prompt in prompts),
        }
        for capability, asked in wanted.items():
            if asked and capability not in self.capabilities:
                raise BadInput(
                    capability.value,
                    self.name,
                    "the endpoint is not said to do this",
                    remedy=f"add ?{_REMEDIES[capability]}",
                )

    def logprobs(self, pairs: Sequence[tuple[tuple[int, ...], tuple[int, ...]]]) -> list[tuple[float, ...]]:
        """Always Unavailable: endpoints do not score given text."""
        raise Unavailable(f"{self.name} cannot score given text", remedy="use a model whose weights are here")

    def load(self, weights: Path | None) -> None:
        """Only the base can be used: an endpoint's weights are out of reach."""
        if weights is not None:
            raise Unavailable(f"{self.name} cannot load weights", remedy="use a model whose weights are here")

    def _gathered(self, pending: Sequence[Future[Reply | Trouble]]) -> Iterator[Reply]:
        """Replies in order; a few failures are failed replies, more are the endpoint's."""
        failed = 0
        for job in pending:
            reply = job.result()
            if isinstance(reply, Trouble):
                failed += 1
                if failed > self._options.tolerate * len(pending):
                    raise self._down(reply)
                reply = Reply(text="", stop=Stop.FAILED)
            yield reply

    def _settled(self, job: Request) -> Reply | Trouble:
        """A reply from disk or from the endpoint, or why there is none."""
        key = self._key(job)
        known = self._cache.get(key) if self._cache else None
        if known is not None:
            self._meter(cached=1)
            return known
        self._budget.begin()
        reply = self._tried(job)
        if isinstance(reply, Trouble):
            self._meter(failed=1)
            return reply
        self._meter(requests=1, prompt_tokens=reply.prompt_tokens, response_tokens=reply.tokens)
        if self._cache and reply.stop is not Stop.FAILED:
            self._cache.put(key, reply)
        return reply

    def _tried(self, job: Request) -> Reply | Trouble:
        for number in range(self._options.retries + 1):
            with self._throttle.turn() as epoch:
                outcome = self._once(job)
                well = not (isinstance(outcome, Trouble) and outcome.overload)
                self._throttle.went(epoch, well=well)
            if isinstance(outcome, Reply) or number == self._options.retries or not self._budget.take():
                return outcome
            time.sleep(_wait(outcome, number, job.seed))
        raise AssertionError("the last try returns")

    def _once(self, job: Request) -> Reply | Trouble:
        try:
            return self.wire.ask(job)
        except Trouble as trouble:
            return trouble

    def _key(self, job: Request) -> str:
        prompt = job.prompt
        asked: list[object] = [prompt.text, prompt.prefix, prompt.schema, job.seed % SEED_RANGE]
        asked += [prompt.tools] if prompt.tools else []
        asked += [prompt.calling] if prompt.calling is Calling.MUST else []
        return digest([self.wire.identity, asked, list(job.decoding), self._options.logprobs])

    def _meter(self, **more: int) -> None:
        with self._lock:
            counted: Mapping[str, int] = {name: getattr(self._spent, name) + n for name, n in more.items()}
            self._spent = self._spent._replace(**counted)

    def _down(self, trouble: Trouble) -> Unavailable:
        return Unavailable(
            f"{self.name} {trouble.what}", remedy=f"{trouble.remedy}, then run again: nothing done is lost"
        )


def _wait(trouble: Trouble, number: int, seed: int) -> float:
    """Seconds before a further try: what the endpoint asks for, else longer each time, with some jitter."""
    if trouble.wait is not None:
        return min(trouble.wait, LONGEST_WAIT)
    jitter = random_for("retry", seed, number).uniform(0.5, 1.0)
    return float(min(_FIRST_WAIT * 2**number, LONGEST_WAIT) * jitter)


def cut_off(reply: Reply, stops: Sequence[str]) -> Reply:
    """The reply up to the first stop text, for interfaces that do not take every stop text."""
    places = [place for place in map(reply.text.find, stops) if place >= 0]
    if not places:
        return reply
    return reply.model_copy(update={"text": reply.text[: min(places)], "stop": Stop.STOP_TEXT})


def _sees(prompt: Prompt) -> bool:
    """Whether pictures stand in the dialogue."""
    return any(message.pictures for message in Request(prompt, 0, Decoding()).messages)


def able(options: Options) -> frozenset[Capability]:
    """What an endpoint for dialogues can do beyond sampling, as the user says."""
    told = {
        Capability.SCHEMA: options.json_schema,
        Capability.TOOLS: options.tools,
        Capability.IMAGES: options.images,
    }
    return frozenset(capability for capability, can in told.items() if can)


def _completions(replies: Sequence[Reply]) -> Completions:
    longest = max((reply.prompt_tokens for reply in replies), default=0)
    samples = [
        Completion(reply.text, (HIDDEN_TOKEN,) * reply.tokens, reply.logprobs, reply.stop, reply.calls)
        for reply in replies
    ]
    return Completions((HIDDEN_TOKEN,) * longest, tuple(samples))
