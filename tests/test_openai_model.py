"""The endpoint model against a server in this process on the loopback address."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from helpers_endpoint import Endpoint
from sharpen.core.attempt import Stop
from sharpen.core.errors import BadInput, Unavailable
from sharpen.core.task import Message, Role
from sharpen.models.base import Capability, Decoding, Model, Prompt

pytest.importorskip("openai")

from sharpen.models.endpoint import HIDDEN_TOKEN, Options, Route
from sharpen.models.openai import OpenAIModel, open_openai

KEY = "sk-very-secret"


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    server = Endpoint()
    yield server
    server.close()


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
    monkeypatch.setattr("sharpen.models.client_wire.find_spec", lambda name: None)
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
