"""The endpoint model against a server in this process on the loopback address."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from sharpen.core.attempt import Stop
from sharpen.core.errors import BadInput, Unavailable
from sharpen.core.task import Message, Role
from sharpen.models.base import Capability, Decoding, Model, Prompt

pytest.importorskip("openai")

from sharpen.models.openai import HIDDEN_TOKEN, OpenAIModel, Options, Route, open_openai

KEY = "sk-very-secret"


class Endpoint:
    """Answers as `behave` says; remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.behave: list[str] = []
        """Behaviours of the next requests; `ok` when used up."""
        self.lock = threading.Lock()
        self.flying = self.most_flying = 0
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"endpoint": self}))
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def reply(self, body: dict[str, Any], *, surrogate: bool) -> dict[str, Any]:
        usage = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
        text = "\ud83d" if surrogate else f"seed {body['seed']}"
        if "messages" in body:
            choice: dict[str, Any] = {
                "message": {"role": "assistant", "content": text},
                "finish_reason": "stop",
            }
            if body.get("logprobs"):
                choice["logprobs"] = {"content": [{"token": t, "logprob": -0.5} for t in "ab"]}
        else:
            choice = {"text": text, "finish_reason": "length"}
        return {"choices": [{"index": 0, **choice}], "usage": usage}


class Handler(BaseHTTPRequestHandler):
    """One request to the endpoint it is made for."""

    endpoint: Endpoint

    def do_GET(self) -> None:
        self.answer({"object": "list", "data": []})

    def do_POST(self) -> None:
        endpoint = self.endpoint
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with endpoint.lock:
            endpoint.asked.append({**body, "path": self.path, "key": self.headers["Authorization"]})
            how = endpoint.behave.pop(0) if endpoint.behave else "ok"
            endpoint.flying += 1
            endpoint.most_flying = max(endpoint.flying, endpoint.most_flying)
        try:
            self.act(how, body)
        finally:
            with endpoint.lock:
                endpoint.flying -= 1

    def act(self, how: str, body: dict[str, Any]) -> None:
        if how == "hang":
            time.sleep(0.6)
        elif how == "slow":
            time.sleep(0.05)
        if how.isdigit():
            self.answer({"error": {"message": "no"}}, status=int(how))
        elif how == "malformed":
            self.answer(b'{"choices": [')
        elif how == "empty":
            self.answer({"choices": []})
        elif how == "page":
            self.answer(b"<html>", kind="text/html")
        else:
            self.answer(self.endpoint.reply(body, surrogate=how == "surrogate"))

    def answer(self, body: object, status: int = 200, kind: str = "application/json") -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        try:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.send_header("retry-after-ms", "1")
            self.end_headers()
            self.wfile.write(data)
        except BrokenPipeError:
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    server = Endpoint()
    yield server
    server.server.shutdown()
    server.server.server_close()


def ask(model: Model, seeds: tuple[int, ...] = (1,), text: str = "hello", prefix: str = "") -> list[str]:
    done = model.sample([Prompt(text, seeds, prefix)], Decoding(temperature=0.7, max_tokens=9, stop=("\n",)))
    return [sample.text for sample in done[0].samples]


def test_chat(endpoint: Endpoint) -> None:
    model = open_openai(f"m@{endpoint.url}?input_price=1&output_price=10")
    prompts = [Prompt("hello", (3, 1, 2)), Prompt("there", (2**40 + 5,))]
    done = model.sample(prompts, Decoding(temperature=0.7, max_tokens=9, stop=("\n",)))
    assert [[s.text for s in d.samples] for d in done] == [["seed 3", "seed 1", "seed 2"], ["seed 5"]]
    assert done[0].samples[0].token_ids == (HIDDEN_TOKEN,) * 2 and done[0].prompt_ids == (HIDDEN_TOKEN,) * 5
    assert done[0].samples[0].logprobs is None and done[0].samples[0].stop is Stop.END
    asked = endpoint.asked[0]
    assert asked["path"] == "/v1/chat/completions" and asked["key"] == f"Bearer {KEY}"
    assert (asked["model"], asked["temperature"], asked["max_tokens"]) == ("m", 0.7, 9)
    assert asked["stop"] == ["\n"] and asked["messages"][0]["role"] == "user"
    assert model.spent[:3] == (4, 20, 8)
    assert model.spent.dollars == pytest.approx((20 * 1 + 8 * 10) / 1e6)


def test_messages_go_through(endpoint: Endpoint) -> None:
    model = open_openai(f"m@{endpoint.url}")
    messages = [Message(role=Role.SYSTEM, content="be brief"), Message(role=Role.USER, content='"hi"\x1d')]
    ask(model, text=model.chat(messages))
    assert endpoint.asked[0]["messages"] == [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": '"hi"\x1d'},
    ]


def test_completions_route_can_force_a_start(endpoint: Endpoint) -> None:
    model = open_openai(f"m@{endpoint.url}?route=completions")
    assert model.capabilities == {Capability.PREFIX}
    assert ask(model, prefix="so ") == ["so seed 1"]
    assert endpoint.asked[0]["path"] == "/v1/completions" and endpoint.asked[0]["prompt"] == "helloso "
    with pytest.raises(BadInput, match="route=completions"):
        ask(open_openai(f"m@{endpoint.url}"), prefix="so ")


def test_logprobs_of_samples(endpoint: Endpoint) -> None:
    model = open_openai(f"m@{endpoint.url}?logprobs=true")
    sample = model.sample([Prompt("hello", (1,))], Decoding())[0].samples[0]
    assert sample.logprobs == (-0.5, -0.5) and len(sample.token_ids) == 2
    assert Capability.LOGPROBS not in model.capabilities
    with pytest.raises(Unavailable, match="gives no log-probabilities"):
        ask(open_openai(f"m@{endpoint.url}?logprobs=true&route=completions"))


@pytest.mark.parametrize("trouble", [["429"], ["500", "503"], ["429", "502", "hang"]])
def test_trouble_that_passes_is_waited_out(endpoint: Endpoint, trouble: list[str]) -> None:
    endpoint.behave = list(trouble)
    assert ask(OpenAIModel("m", endpoint.url, Options(timeout=0.3, retries=3))) == ["seed 1"]
    assert len(endpoint.asked) == len(trouble) + 1


@pytest.mark.parametrize(
    "trouble, problem",
    [
        ("429", "keeps answering 429"),
        ("500", "keeps answering 500"),
        ("hang", "did not answer within 0.2 s"),
        ("malformed", "not its protocol"),
        ("empty", "not its protocol"),
        ("page", "not its protocol"),
        ("401", "refuses with 401"),
        ("404", "refuses with 404"),
    ],
)
def test_trouble_that_stays_is_one_line(endpoint: Endpoint, trouble: str, problem: str) -> None:
    endpoint.behave = [trouble] * 10
    model = OpenAIModel("m", endpoint.url, Options(timeout=0.2, retries=1))
    with pytest.raises(Unavailable, match=problem) as caught:
        ask(model)
    assert "\n" not in str(caught.value) and KEY not in str(caught.value)
    assert len(endpoint.asked) <= 2, "tries are bounded"
    assert model.spent.requests == 0


def test_broken_characters_are_replaced(endpoint: Endpoint) -> None:
    endpoint.behave = ["surrogate"]
    assert ask(open_openai(f"m@{endpoint.url}")) == ["?"]


def test_concurrency_is_bounded(endpoint: Endpoint) -> None:
    endpoint.behave = ["slow"] * 12
    assert ask(open_openai(f"m@{endpoint.url}?concurrency=3"), tuple(range(12)))[11] == "seed 11"
    assert 2 <= endpoint.most_flying <= 3


def test_nobody_there_is_said_at_once() -> None:
    start = time.perf_counter()
    with pytest.raises(Unavailable, match="cannot be reached"):
        open_openai("m@http://127.0.0.1:9/v1")
    assert time.perf_counter() - start < 5


@pytest.mark.parametrize(
    "written", ["@http://h/v1", "m@ftp://h", "m@http://h/v1?what=1", "m@http://h/v1?retries=-1"]
)
def test_bad_specs(written: str) -> None:
    with pytest.raises(BadInput):
        open_openai(written)


def test_official_endpoint_needs_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(Unavailable, match="OPENAI_API_KEY is not set"):
        open_openai("gpt")


def test_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sharpen.models.openai.find_spec", lambda name: None)
    with pytest.raises(Unavailable, match=r"sharpen\[openai\]"):
        OpenAIModel("m", "http://127.0.0.1:9/v1")


def test_weights_are_out_of_reach(endpoint: Endpoint, tmp_path: Any) -> None:
    model = OpenAIModel("m", endpoint.url)
    model.load(None)
    with pytest.raises(Unavailable):
        model.load(tmp_path)
    with pytest.raises(Unavailable):
        model.logprobs([((1,), (2,))])
    other = OpenAIModel("m", endpoint.url, Options(route=Route.COMPLETIONS))
    assert model.fingerprint != other.fingerprint
