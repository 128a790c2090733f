"""Any OpenAI-compatible endpoint as a model: sampling only, retried, bounded in time, metered.

An endpoint keeps its token ids to itself, so responses carry the id -1 once per token it counted: lengths
and meters are right, and no learner can mistake them for real ids. For the same reason the capability
LOGPROBS is never declared (given text cannot be scored), even where sampled tokens bring their own.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, NamedTuple, TypeVar, get_type_hints
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, JsonValue

from sharpen.core.attempt import Stop
from sharpen.core.errors import BadInput, Unavailable
from sharpen.core.records import Record, digest
from sharpen.core.spec import Spec
from sharpen.core.task import Message
from sharpen.models.base import Capability, Completion, Completions, Decoding, Prompt

HIDDEN_TOKEN = -1
"""Stands for a token whose id the endpoint does not tell."""
OFFICIAL = "https://api.openai.com/v1"
KEY_VARIABLE = "OPENAI_API_KEY"
_CHAT_MARK = "\x1dmessages\x1d"
"""Begins a prompt text that is a JSON list of messages; no task text begins so."""
_PROBE_SECONDS = 10.0
_SEED_RANGE = 2**31


class Route(StrEnum):
    """Which interface of the endpoint is used."""

    CHAT = "chat"
    COMPLETIONS = "completions"
    """Plain text to be continued; allows a forced start."""


class Options(Record):
    """How an endpoint is used; written as `openai:NAME@URL?route=completions&concurrency=8`."""

    route: Route = Route.CHAT
    concurrency: Annotated[int, Field(ge=1, le=256)] = 8
    """Requests in flight at a time."""
    timeout: Annotated[float, Field(gt=0)] = 120.0
    """Seconds a request may take."""
    retries: Annotated[int, Field(ge=0, le=20)] = 5
    """Further tries after a time-out, a refusal for load (429) or a server error."""
    logprobs: bool = False
    """Ask for the log-probabilities of sampled tokens."""
    input_price: float | None = None
    """Dollars per million prompt tokens."""
    output_price: float | None = None
    """Dollars per million response tokens."""


class Spent(NamedTuple):
    """What an endpoint has been asked for so far."""

    requests: int = 0
    prompt_tokens: int = 0
    response_tokens: int = 0
    dollars: float | None = None
    """None if no prices were given."""


class _Reply(NamedTuple):
    completion: Completion
    prompt_tokens: int


class _Usage(BaseModel):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _Token(BaseModel):
    logprob: float


class _ChatLogprobs(BaseModel):
    content: list[_Token] | None = None


class _ChatMessage(BaseModel):
    content: str | None = None


class _ChatChoice(BaseModel):
    message: _ChatMessage
    finish_reason: str | None = None
    logprobs: _ChatLogprobs | None = None


class _ChatAnswer(BaseModel):
    choices: list[_ChatChoice] = Field(min_length=1)
    usage: _Usage = _Usage()


class _TextLogprobs(BaseModel):
    token_logprobs: list[float] | None = None


class _TextChoice(BaseModel):
    text: str
    finish_reason: str | None = None
    logprobs: _TextLogprobs | None = None


class _TextAnswer(BaseModel):
    choices: list[_TextChoice] = Field(min_length=1)
    usage: _Usage = _Usage()


A = TypeVar("A", bound=BaseModel)


def open_openai(written: str, *, probe: bool = True) -> OpenAIModel:
    """Open `NAME@URL?options`, or `NAME` at the official endpoint; `probe` asks whether anybody answers."""
    spec = Spec.parse(written, kind="model")
    model, at, url = spec.name.rpartition("@")
    model, url = (model, url) if at else (spec.name, os.environ.get("OPENAI_BASE_URL") or OFFICIAL)
    if not model or urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
        raise BadInput(
            "model", f"openai:{written}", "is not NAME@URL", remedy="openai:NAME@http://HOST:PORT/v1"
        )
    hints = get_type_hints(Options, include_extras=True)
    accepted = {name: hints[name] for name in Options.model_fields}
    endpoint = OpenAIModel(model, url, Options(**spec.bind(accepted, kind="model")))
    if probe:
        endpoint.probe()
    return endpoint


class OpenAIModel:
    """A model behind an OpenAI-compatible endpoint."""

    def __init__(self, model: str, url: str, options: Options | None = None) -> None:
        """`model` as the endpoint names it; `url` ends in `/v1` as a rule; the key is in OPENAI_API_KEY."""
        if find_spec("openai") is None:
            raise Unavailable("the package openai is not installed", remedy="pip install 'sharpen[openai]'")
        import openai

        key = os.environ.get(KEY_VARIABLE)
        if key is None and url == OFFICIAL:
            raise Unavailable(f"{KEY_VARIABLE} is not set", remedy=f"export {KEY_VARIABLE}=...")
        self._model = model
        self._url = url
        self._options = options or Options()
        self._client = openai.OpenAI(
            api_key=key or "none",
            base_url=url,
            timeout=self._options.timeout,
            max_retries=self._options.retries,
        )
        self._lock = threading.Lock()
        self._spent = Spent()

    @property
    def name(self) -> str:
        """What the user called it."""
        return f"openai:{self._model}@{self._url}"

    @property
    def fingerprint(self) -> str:
        """Hash of endpoint, route and model name; what the endpoint serves under it may change unseen."""
        return digest(["openai", self._url, self._options.route, self._model])

    @property
    def capabilities(self) -> frozenset[Capability]:
        """A forced start on the completions route; nothing else."""
        return frozenset({Capability.PREFIX} if self._options.route is Route.COMPLETIONS else ())

    @property
    def spent(self) -> Spent:
        """Requests and tokens so far, and dollars if the prices are known."""
        prices = (self._options.input_price, self._options.output_price)
        if prices[0] is None or prices[1] is None:
            return self._spent
        dollars = (self._spent.prompt_tokens * prices[0] + self._spent.response_tokens * prices[1]) / 1e6
        return self._spent._replace(dollars=dollars)

    def probe(self) -> None:
        """Ask for the list of models; Unavailable if nobody answers or the key is refused."""
        import httpx2
        import openai

        patience, retries = min(_PROBE_SECONDS, self._options.timeout), min(1, self._options.retries)
        impatient = self._client.with_options(timeout=patience, max_retries=retries)
        with self._failures(), suppress(openai.NotFoundError):
            impatient.get("/models", cast_to=httpx2.Response)

    def chat(self, messages: Sequence[Message]) -> str:
        """Messages as a prompt text, which `sample` turns back into messages."""
        return _CHAT_MARK + json.dumps([{"role": m.role.value, "content": m.content} for m in messages])

    def sample(self, prompts: Sequence[Prompt], decoding: Decoding) -> list[Completions]:
        """One request per seed, `concurrency` at a time; results in the order of prompts and seeds."""
        if any(prompt.prefix for prompt in prompts) and Capability.PREFIX not in self.capabilities:
            raise BadInput("prefix", self.name, "chat cannot force a start", remedy="add ?route=completions")
        jobs = [(prompt, seed) for prompt in prompts for seed in prompt.seeds]
        with ThreadPoolExecutor(self._options.concurrency, thread_name_prefix="openai") as pool:
            pending = [pool.submit(self._request, prompt, seed, decoding) for prompt, seed in jobs]
            try:
                replies = iter([job.result() for job in pending])
            finally:
                for job in pending:
                    job.cancel()
        return [_gathered([next(replies) for _ in prompt.seeds]) for prompt in prompts]

    def logprobs(self, pairs: Sequence[tuple[tuple[int, ...], tuple[int, ...]]]) -> list[tuple[float, ...]]:
        """Always Unavailable: endpoints do not score given text."""
        raise Unavailable(f"{self.name} cannot score given text", remedy="use a model whose weights are here")

    def load(self, weights: Path | None) -> None:
        """Only the base can be used: an endpoint's weights are out of reach."""
        if weights is not None:
            raise Unavailable(f"{self.name} cannot load weights", remedy="use a model whose weights are here")

    def _request(self, prompt: Prompt, seed: int, decoding: Decoding) -> _Reply:
        body: dict[str, JsonValue] = {
            "model": self._model,
            "temperature": decoding.temperature,
            "top_p": decoding.top_p,
            "seed": seed % _SEED_RANGE,
        }
        if decoding.stop:
            body["stop"] = list(decoding.stop)
        if self._options.route is Route.CHAT:
            reply = self._chat(prompt, decoding.max_tokens, body)
        else:
            reply = self._continue(prompt, decoding.max_tokens, body)
        self._meter(reply)
        return reply

    def _chat(self, prompt: Prompt, limit: int, body: dict[str, JsonValue]) -> _Reply:
        # The official endpoint has renamed the limit; most others know the old name only.
        limit_name = "max_completion_tokens" if self._url == OFFICIAL else "max_tokens"
        asked: dict[str, JsonValue] = {"logprobs": True} if self._options.logprobs else {}
        body = {**body, **asked, limit_name: limit, "messages": _messages(prompt.text)}
        answer = self._post("/chat/completions", body, _ChatAnswer)
        choice = answer.choices[0]
        given = choice.logprobs.content if choice.logprobs else None
        logprobs = [token.logprob for token in given] if given is not None else None
        return self._reply(choice.message.content or "", choice.finish_reason, logprobs, answer.usage)

    def _continue(self, prompt: Prompt, limit: int, body: dict[str, JsonValue]) -> _Reply:
        asked: dict[str, JsonValue] = {"logprobs": 0} if self._options.logprobs else {}
        body = {**body, **asked, "max_tokens": limit, "prompt": prompt.text + prompt.prefix}
        answer = self._post("/completions", body, _TextAnswer)
        choice = answer.choices[0]
        logprobs = choice.logprobs.token_logprobs if choice.logprobs else None
        return self._reply(prompt.prefix + choice.text, choice.finish_reason, logprobs, answer.usage)

    def _reply(
        self, text: str, reason: str | None, logprobs: Sequence[float] | None, usage: _Usage
    ) -> _Reply:
        if self._options.logprobs and logprobs is None:
            raise Unavailable(f"{self.name} gives no log-probabilities", remedy="open it with logprobs=false")
        tokens = usage.completion_tokens if logprobs is None else len(logprobs)
        completion = Completion(
            text=text,
            token_ids=(HIDDEN_TOKEN,) * tokens,
            logprobs=None if logprobs is None else tuple(logprobs),
            stop=Stop.LENGTH if reason == "length" else Stop.END,
        )
        return _Reply(completion, usage.prompt_tokens)

    def _post(self, path: str, body: dict[str, JsonValue], kind: type[A]) -> A:
        import httpx2

        with self._failures():
            content = self._client.post(path, cast_to=httpx2.Response, body=body).content
            # JSON may hold half a surrogate pair, which no stored text can.
            clean = json.dumps(json.loads(content), ensure_ascii=False).encode("utf-8", "replace")
            return kind.model_validate_json(clean)

    def _meter(self, reply: _Reply) -> None:
        with self._lock:
            self._spent = Spent(
                self._spent.requests + 1,
                self._spent.prompt_tokens + reply.prompt_tokens,
                self._spent.response_tokens + len(reply.completion.token_ids),
            )

    @contextmanager
    def _failures(self) -> Iterator[None]:
        """Say in one line why a request failed; the client has retried what is worth it, so it is final."""
        import openai

        try:
            yield
        except openai.APITimeoutError as error:
            seconds = self._options.timeout
            raise self._dead(f"did not answer within {seconds:g} s", "raise timeout=") from error
        except openai.APIConnectionError as error:
            raise self._dead("cannot be reached", "check the URL and that the server runs") from error
        except (openai.RateLimitError, openai.InternalServerError) as error:
            raise self._dead(f"keeps answering {error.status_code}", "wait, or lower concurrency=") from error
        except openai.APIStatusError as error:
            raise Unavailable(
                f"{self.name} refuses with {error.status_code}: {' '.join(str(error).split())[:200]}",
                remedy=f"check the model's name, the options and {KEY_VARIABLE}",
            ) from error
        except ValueError as error:
            raise self._dead("answers with something that is not its protocol", "check the URL") from error

    def _dead(self, what: str, remedy: str) -> Unavailable:
        return Unavailable(f"{self.name} {what}", remedy=f"{remedy}, then run again: nothing done is lost")


def _messages(text: str) -> JsonValue:
    if text.startswith(_CHAT_MARK):
        messages: JsonValue = json.loads(text.removeprefix(_CHAT_MARK))
        return messages
    return [{"role": "user", "content": text}]


def _gathered(replies: Sequence[_Reply]) -> Completions:
    longest = max((reply.prompt_tokens for reply in replies), default=0)
    return Completions((HIDDEN_TOKEN,) * longest, tuple(reply.completion for reply in replies))
