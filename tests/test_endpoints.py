"""Endpoints that misbehave: runs complete, money is counted, and what failed is unknown, never wrong."""

from __future__ import annotations

import random
import re
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers_endpoint import Endpoint
from sharpen.core.artifact import ArtifactStore
from sharpen.core.attempt import Stop
from sharpen.core.budget import Budget, Purpose, Timing
from sharpen.core.engine import Judging
from sharpen.core.errors import BadInput, Unavailable
from sharpen.core.journal import read_rows
from sharpen.core.policy import Policy, PromptForm, Style
from sharpen.core.recipe import load_recipe
from sharpen.core.records import decode
from sharpen.core.task import Message, Role
from sharpen.core.updater import Stopwatch
from sharpen.core.verdict import Verdict
from sharpen.experiment.check_recipe import StopAfter
from sharpen.experiment.execute import execute
from sharpen.experiment.spec import RunSpec
from sharpen.judges.asking import Way, ask, form_of
from sharpen.models.base import Decoding, Prompt
from sharpen.models.source import open_model, priced
from sharpen.models.throttle import FREE_RETRIES, RetryBudget, Throttle

pytest.importorskip("openai")

from sharpen.models.endpoint import Endpoint as Model
from sharpen.models.endpoint import Options
from sharpen.models.openai import OpenAIModel

TROUBLE = ("429", "500", "malformed", "short", "page", "drip", "empty")
WAY = Decoding(temperature=0.7, max_tokens=9)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    monkeypatch.setattr("sharpen.models.endpoint._FIRST_WAIT", 0.001)
    endpoint = Endpoint()
    yield endpoint
    endpoint.close()


def texts(model: Model, seeds: int = 1, text: str = "hello") -> list[str]:
    (done,) = model.sample([Prompt(text, tuple(range(seeds)))], WAY)
    return [sample.text for sample in done.samples]


def sums(asked: str) -> str:
    """Works out the last sum that a request holds."""
    found = re.findall(r"(\d+)([+-])(\d+)=\?", asked)
    if not found:
        return "no sum"
    one, sign, other = found[-1]
    return f"#### {int(one) + int(other) if sign == '+' else int(one) - int(other)}"


def spec_of(server: Endpoint, **more: object) -> RunSpec:
    request: dict[str, object] = {
        "task": "offhand?level=1",
        "style": "chat",
        "train": 1,
        "val": 3,
        "test": 5,
        "max_tokens": 30,
    }
    options = "timeout=0.3&retries=9&retry_share=3&tolerate=0.5"
    settings = {"turns": 2, "request": "right?", "accept": "yes"}
    request |= {"control_samples": 2, "threads": 1, "price": "in=2,out=10", "settings": settings}
    return RunSpec(recipe="self_refine", model=f"openai:m@{server.url}?{options}", **{**request, **more})


def test_a_run_completes_whatever_the_endpoint_does(server: Endpoint, tmp_path: Path) -> None:
    server.says = sums
    quiet = execute(spec_of(server), tmp_path / "quiet", StopAfter(None))
    chance = random.Random(3)
    server.behave = [chance.choice(TROUBLE) if chance.random() < 0.25 else "ok" for _ in range(400)]
    asked = len(server.asked)
    noisy = execute(spec_of(server), tmp_path / "noisy", StopAfter(None))
    assert len(server.asked) - asked > 1.2 * asked, "some requests were made again"
    assert noisy.coverage == noisy.test.before.mean == 1 and noisy.journal_head == quiet.journal_head
    timing = sum(noisy.budget.timing.values(), Timing())
    calls = sum(row.entry.usage.model_calls for row in read_rows(tmp_path / "noisy"))
    assert timing.dollars == pytest.approx(calls * (5 * 2 + 2 * 10) / 1e6)


def test_a_judge_behind_a_bad_line_decides_what_is_learnt(server: Endpoint, tmp_path: Path) -> None:
    """A recipe that learns from a judge's word, and the judge's line breaks, stalls and lies."""
    chance = random.Random(5)
    troubles = (*TROUBLE, "hang", "filtered")
    plan = [chance.choice(troubles) if chance.random() < 0.2 else "ok" for _ in range(2000)]
    server.behave = list(plan)
    words = (*['{"thoughts": "fine", "verdict": "5"}'] * 3, '{"thoughts": "no", "verdict": "1"}', '{"thoug')
    server.says = lambda asked: words[zlib.crc32(asked.encode()) % len(words)]
    patience = "json_schema=true&timeout=0.3&retries=9&retry_share=3&tolerate=0.5"
    place = load_recipe("i_sheep").small
    judge = {"by": f"openai:judge@{server.url}?{patience}&input_price=2&output_price=10"}
    spec = RunSpec.at("i_sheep", place, {"settings": judge}, train=10, val=2, test=2)
    result = execute(spec, tmp_path, StopAfter(None))
    verdicts = verdicts_of(tmp_path, "malformed")
    assert {type(verdict).__name__ for verdict in verdicts} == {"Scored", "Error"}
    assert result.weights and result.coverage == 1, (
        "it learned, and its own answers were judged by the verifier"
    )
    answered = len(server.asked) - sum(how in troubles[:-1] for how in plan[: len(server.asked)])
    timing = sum(result.budget.timing.values(), Timing())
    assert timing.dollars == pytest.approx(answered * (5 * 2 + 2 * 10) / 1e6)
    assert answered < len(server.asked), "some requests were made again"


def verdicts_of(folder: Path, mark: str) -> list[Verdict]:
    """All verdicts of the judging steps in which some are errors of this kind."""
    store, found = ArtifactStore(folder / "store"), list[Verdict]()
    for row in read_rows(folder):
        if row.entry.verb == "judge" and mark.encode() in (data := store.get(row.entry.blob)):
            found += decode(tuple[Verdict, ...], data)
    return found


def test_what_failed_for_good_is_unknown(server: Endpoint, tmp_path: Path) -> None:
    def moody(asked: str) -> str:
        with server.lock:
            server.behave = ["filtered"] if len(server.asked) % 3 == 0 else []
        return sums(asked)

    server.says = moody
    result = execute(spec_of(server, settings={"turns": 1}), tmp_path, StopAfter(None))
    assert 0 < result.coverage < 1
    assert result.test.before.mean == 1.0, "the mean is of what is known, and all of that is right"


def test_a_budget_of_dollars_binds(server: Endpoint, tmp_path: Path) -> None:
    server.says = sums
    result = execute(spec_of(server, budget=Budget(dollars=1e-6), gate="enforce"), tmp_path, StopAfter(None))
    assert result.stopped_by == "dollars"
    unpriced = spec_of(server, budget=Budget(dollars=1.0), price="")
    with pytest.raises(BadInput, match="not known what is spent"):
        execute(unpriced, tmp_path / "other", StopAfter(None))
    free = execute(spec_of(server, price=""), tmp_path / "unknown", StopAfter(None))
    assert free.budget.timing[Purpose.METHOD].dollars is None, "unknown is not nothing"


def test_few_failures_are_tolerated_and_many_are_not(server: Endpoint) -> None:
    server.behave = ["malformed"]
    model = OpenAIModel("m", server.url, Options(retries=0, concurrency=1))
    (done,) = model.sample([Prompt("hello", tuple(range(20)))], WAY)
    assert [sample.stop for sample in done.samples] == [Stop.FAILED, *[Stop.END] * 19]
    assert model.spent.failed == 1 and model.spent.requests == 19
    server.behave = ["malformed"] * 2
    with pytest.raises(Unavailable, match="not its protocol"):
        texts(model, 20)


def test_a_dead_endpoint_is_not_hammered(server: Endpoint) -> None:
    server.behave = ["500"] * 1000
    model = OpenAIModel("m", server.url, Options(retries=20, retry_share=0.1, concurrency=4))
    with pytest.raises(Unavailable, match="keeps answering 500"):
        texts(model, 10)
    assert len(server.asked) <= 10 + FREE_RETRIES + 0.1 * 10 + 1


def test_a_slow_drip_is_a_time_out(server: Endpoint) -> None:
    server.behave = ["drip"] * 9
    start = time.perf_counter()
    with pytest.raises(Unavailable, match=r"did not answer within 0\.2 s"):
        texts(OpenAIModel("m", server.url, Options(timeout=0.2, retries=0)))
    assert time.perf_counter() - start < 1.5, "the reply takes two seconds"


def test_equal_questions_are_paid_for_once(
    server: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHARPEN_CACHE", str(tmp_path))
    first, second = (OpenAIModel("m", server.url, Options(cache=True)) for _ in range(2))
    assert texts(first, 3) == texts(second, 3) and len(server.asked) == 3
    assert second.spent.cached == 3 and second.spent.requests == 0
    texts(second, 3, "another")
    assert len(server.asked) == 6


@pytest.mark.parametrize("kind", ["anthropic", "gemini"])
def test_other_protocols(server: Endpoint, kind: str) -> None:
    pytest.importorskip({"anthropic": "anthropic", "gemini": "google.genai"}[kind])
    url = server.url.removesuffix("/v1")
    model = open_model(f"{kind}:m@{url}?timeout=0.4&retries=4&input_price=1&output_price=10&json_schema=true")
    assert isinstance(model, Model)
    server.says = lambda asked: "so it is\n\nand more"
    server.behave = ["429", "500", "malformed", "drip"]
    dialogue = [Message(role=Role.SYSTEM, content="be brief"), Message(role=Role.USER, content="hi")]
    prompt = Prompt(model.chat(dialogue), (1,), schema=form_of(["a", "b"]))
    (done,) = model.sample([prompt], Decoding(stop=("\n\n",), max_tokens=7))
    (sample,) = done.samples
    assert sample.text == "so it is" and sample.stop is Stop.STOP_TEXT and len(sample.token_ids) == 2
    assert model.dollars == pytest.approx((5 * 1 + 2 * 10) / 1e6) and len(server.asked) == 5
    asked = str(server.asked[-1])
    assert "be brief" in asked and "hi" in asked and "'verdict'" in asked and "7" in asked
    server.behave = ["filtered"]
    assert model.sample([Prompt("hi", (1,))], WAY)[0].samples[0].stop is Stop.FAILED
    server.behave = ["400"]
    with pytest.raises(Unavailable, match="refuses with 400"):
        texts(model)


def test_judges_fill_in_forms(server: Endpoint, tmp_path: Path) -> None:
    model = OpenAIModel("m", server.url, Options(json_schema=True))
    judging = Judging({"j": model}, ArtifactStore(tmp_path), Stopwatch())
    judge = Policy(model="j", base=model.fingerprint, prompt=PromptForm(style=Style.CHAT))
    replies = iter(['{"thoughts": "hm", "verdict": "no"}', '{"verdict": "maybe"}', "yes", "[" * 10**5])
    server.says = lambda asked: next(replies)
    question = [Message(role=Role.USER, content="Right?")]
    found = [ask(judging, judge, Way.AUTO, [question], ("yes", "no"))[0].word for _ in range(4)]
    assert found == ["no", None, None, None]
    assert server.asked[0]["response_format"]["json_schema"]["schema"]["properties"]["verdict"]["enum"]
    with pytest.raises(BadInput, match="cannot be held to a schema"):
        plain = Judging({"j": OpenAIModel("m", server.url)}, judging.store, Stopwatch())
        ask(plain, judge, Way.FORM, [question], ("yes", "no"))


@pytest.mark.parametrize("price", ["in=1", "1,2", "in=1,out=2,more=3"])
def test_bad_prices(price: str) -> None:
    with pytest.raises(BadInput, match="price"):
        priced("openai:m@http://h/v1", price)
    with pytest.raises(BadInput, match="price"):
        priced("tiny", "in=1,out=2")


@given(st.integers(1, 20), st.lists(st.booleans(), max_size=60))
def test_a_throttle_stays_in_its_bounds(most: int, fates: list[bool]) -> None:
    throttle = Throttle(most)
    for well in fates:
        before = throttle.limit
        with throttle.turn() as epoch:
            throttle.went(epoch, well=well)
            throttle.went(epoch, well=well)
        assert 1 <= throttle.limit <= most
        assert throttle.limit >= (before if well else before // 2), "halved once, however many fail together"
    for _ in range(most * most):
        with throttle.turn() as epoch:
            throttle.went(epoch, well=True)
    assert throttle.limit == most, "it recovers"


def test_turns_are_waited_for() -> None:
    throttle, most = Throttle(3), [0, 0]

    def work() -> None:
        with throttle.turn():
            most[0] += 1
            most[1] = max(most)
            time.sleep(0.01)
            most[0] -= 1

    run_together([work] * 9)
    assert most[1] <= 3


@given(st.floats(0, 2), st.integers(0, 50))
def test_a_retry_budget_is_a_share(share: float, requests: int) -> None:
    budget = RetryBudget(share)
    for _ in range(requests):
        budget.begin()
    taken = sum(budget.take() for _ in range(300))
    assert FREE_RETRIES <= taken <= FREE_RETRIES + share * requests + 1


def run_together(work: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=one) for one in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
