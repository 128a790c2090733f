"""The server: what it says is what the policy says, alone or among others, whole or in pieces."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
pytest.importorskip("prometheus_client")
pytest.importorskip("openai")

import httpx2
import openai

from helpers_serve import listening
from sharpen.cli import main
from sharpen.core.artifact import ArtifactStore
from sharpen.core.attempt import Attempt
from sharpen.core.errors import BadInput, Busy
from sharpen.core.journal import read_rows
from sharpen.core.policy import Decoding
from sharpen.core.records import decode
from sharpen.core.task import Task
from sharpen.core.verdict import value_of
from sharpen.executors.pool import JudgePool
from sharpen.experiment.check_recipe import StopAfter, small_spec
from sharpen.experiment.execute import execute
from sharpen.experiment.spec import RunSpec
from sharpen.models.openai import open_openai
from sharpen.serve.answering import Asked, answer, lane_of, repeats
from sharpen.serve.app import Limits
from sharpen.serve.batching import Batcher
from sharpen.serve.listening import prove
from sharpen.serve.served import Choice, Served, open_served
from sharpen.serve.streaming import Teller
from sharpen.tasks.source import load_tasks


@pytest.fixture(scope="module")
def pool() -> Iterator[JudgePool]:
    with JudgePool() as opened:
        yield opened


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory, pool: JudgePool) -> Served:
    return open_served("tiny", Choice(threads=1, max_tokens=24), pool, tmp_path_factory.mktemp("scratch"))


@pytest.fixture(scope="module")
def url(tiny: Served) -> Iterator[str]:
    with listening(tiny) as address:
        yield address


@pytest.fixture
def client(url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(api_key="none", base_url=f"{url}/v1", max_retries=0) as opened:
        yield opened


def questions(count: int) -> list[str]:
    return [task.question for task in load_tasks("chain?level=1", seed=0, train=count, val=1, test=1).train]


def said(client: openai.OpenAI, question: str, **more: Any) -> list[str]:
    messages = [{"role": "user", "content": question}]
    done = client.chat.completions.create(model="tiny", messages=messages, **{"temperature": 1.0, **more})
    return [str(choice.message.content) for choice in done.choices]


def streamed(client: openai.OpenAI, question: str, **more: Any) -> dict[int, str]:
    messages = [{"role": "user", "content": question}]
    told: dict[int, str] = {}
    for chunk in client.chat.completions.create(model="tiny", messages=messages, stream=True, **more):
        for choice in chunk.choices:
            told[choice.index] = told.get(choice.index, "") + (choice.delta.content or "")
    return told


def test_pieces_add_up_to_the_whole(client: openai.OpenAI) -> None:
    for question in questions(3):
        whole = said(client, question, seed=5, n=3)
        assert streamed(client, question, seed=5, n=3, temperature=1.0) == dict(enumerate(whole))
    assert len(set(said(client, "1+1=?", n=8, temperature=4))) > 1, "without a seed, chance"


def test_an_answer_depends_on_question_and_seed_alone(client: openai.OpenAI) -> None:
    asked = [(question, seed) for question in questions(6) for seed in (1, 2)]
    alone = [said(client, question, seed=seed) for question, seed in asked]
    with ThreadPoolExecutor(12) as crowd:
        together = list(crowd.map(lambda pair: said(client, pair[0], seed=pair[1]), asked))
    assert together == alone


def test_plain_text_and_logprobs(client: openai.OpenAI, tiny: Served) -> None:
    done = client.completions.create(
        model="tiny", prompt="Q: 2+3=?\nA:", temperature=0, logprobs=0, stop=["\n"]
    )
    (choice,) = done.choices
    assert choice.logprobs is not None and choice.logprobs.token_logprobs is not None
    assert len(choice.logprobs.token_logprobs) == done.usage.completion_tokens  # type: ignore[union-attr]
    chat = client.chat.completions.create(
        model="tiny", messages=[{"role": "user", "content": "2+3=?"}], temperature=0, logprobs=True
    )
    rows = chat.choices[0].logprobs.content  # type: ignore[union-attr]
    assert rows and all(row.logprob <= 0 for row in rows)
    own = answer(tiny, [Asked(Task.ask("2+3=?", ""), Decoding(0.0, 1.0, 24), seed=3)])[0][0]
    assert chat.choices[0].message.content == own.response


@given(
    st.lists(st.integers(4, 80), max_size=40),
    st.lists(st.sampled_from(["\n", "1", "ab", "\n\n"]), max_size=2),
)
def test_what_was_told_is_never_taken_back(tiny: Served, tokens: list[int], stops: list[str]) -> None:
    decode_ids: Callable[..., str] = tiny.model.decode  # type: ignore[attr-defined]
    whole = decode_ids(tokens)
    ends = [place for place in map(whole.find, stops) if place >= 0]
    final = (whole[: min(ends)] if ends else whole).strip()
    teller = Teller(decode_ids, stops, strip=True)
    pieces = [teller.hear(token) for token in tokens]
    assert final.startswith("".join(pieces))
    assert "".join(pieces) + teller.rest(final) == final


@pytest.mark.parametrize(
    "body, status, names",
    [
        ({"model": "other"}, 404, "there is no model"),
        ({"functions": [{}]}, 400, "functions is not supported"),
        ({"tools": [{"type": "function"}]}, 400, "tools.0.function: Field required"),
        ({"response_format": {"type": "json_schema"}}, 400, "response_format: json_schema is missing"),
        ({"n": 1000}, 400, "n:"),
        ({"temperature": -1}, 400, "temperature"),
        ({"messages": []}, 400, "messages"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, 400, "messages"),
        ({"messages": [{"role": "user", "content": "1 " * 3000}]}, 400, "leave out the oldest messages"),
        ({"max_tokens": 10**6}, 400, "at most"),
        ({"stop": [""]}, 400, "stop"),
    ],
)
def test_bad_requests_say_what_is_wrong(url: str, body: dict[str, Any], status: int, names: str) -> None:
    whole = {"model": "tiny", "messages": [{"role": "user", "content": "hi"}], **body}
    reply = httpx2.post(f"{url}/v1/chat/completions", json=whole)
    assert reply.status_code == status and names in reply.json()["error"]["message"]
    assert "--shots" not in reply.text


def test_a_prompt_that_is_too_long_is_refused_by_its_code_alone(
    client: openai.OpenAI, capfd: pytest.CaptureFixture[str]
) -> None:
    long = "1 " * 3000
    with pytest.raises(openai.BadRequestError) as caught:
        said(client, long)
    assert caught.value.code == "context_length_exceeded"
    told = client.chat.completions.create(
        model="tiny", messages=[{"role": "user", "content": long}], stream=True
    )
    with pytest.raises(openai.APIError, match="leave out the oldest messages"):
        list(told)
    assert "Token indices" not in capfd.readouterr().err


def test_what_is_not_there_is_told_as_the_protocol_tells_it(client: openai.OpenAI, url: str) -> None:
    assert client.models.retrieve("tiny").id == "tiny"
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("some/other")
    assert caught.value.code == "model_not_found" and "it is 'tiny'" in str(caught.value)
    with pytest.raises(openai.NotFoundError, match="no POST /v1/embeddings here; routes: /v1/chat") as caught:
        client.embeddings.create(model="tiny", input="a")
    assert caught.value.type == "invalid_request_error"
    wrong = httpx2.get(f"{url}/v1/completions")
    assert wrong.status_code == 405 and "POST" in wrong.headers["allow"] and "error" in wrong.json()


def test_several_prompts_are_answered_as_each_alone(client: openai.OpenAI) -> None:
    texts = ["Q: 2+3=?\nA:", "Q: 4+4=?\nA:", "Q: 9+1=?\nA:"]
    asked = {"model": "tiny", "n": 2, "seed": 7, "max_tokens": 8, "temperature": 1.0}
    alone = [client.completions.create(prompt=text, **asked) for text in texts]
    together = client.completions.create(prompt=texts, **asked)
    assert [choice.index for choice in together.choices] == list(range(6))
    assert [choice.text for choice in together.choices] == [c.text for one in alone for c in one.choices]
    assert together.usage and together.usage.total_tokens == sum(
        one.usage.total_tokens for one in alone if one.usage
    )


@pytest.mark.parametrize(
    "body, names",
    [
        ({"prompt": []}, "prompt"),
        ({"prompt": [1, 2]}, "prompt: give a text or a list of texts"),
        ({"prompt": ["a", ""]}, "prompt: give a text or a list of texts"),
        ({"prompt": ["a"] * 65}, "prompt"),
        ({"prompt": ["a", "b"], "stream": True}, "send one at a time"),
        ({"prompt": ["a", "1 " * 3000]}, "tokens"),
    ],
    ids=range(6),
)
def test_prompts_that_are_refused(url: str, body: dict[str, Any], names: str) -> None:
    reply = httpx2.post(f"{url}/v1/completions", json={"model": "tiny", "max_tokens": 4, **body})
    assert reply.status_code == 400 and names in reply.json()["error"]["message"]


def test_hostile_requests_are_refused(url: str) -> None:
    place = f"{url}/v1/chat/completions"
    json_type = {"content-type": "application/json"}
    assert httpx2.post(place, content=b"{" * 10**5, headers=json_type).status_code == 400
    assert httpx2.post(place, content=b"[" * (17 << 20), headers=json_type).status_code == 413
    assert httpx2.post(place, content=b"{}", headers={"content-type": "text/plain"}).status_code == 415
    assert httpx2.get(f"{url}/v1/models", headers={"host": "evil.example"}).status_code == 400
    assert httpx2.get(place).status_code == 405


def test_a_key_is_asked_for(tiny: Served) -> None:
    with listening(tiny, Limits(key="secret")) as url:
        assert httpx2.get(f"{url}/v1/models").status_code == 401
        shown = {"authorization": "Bearer secret"}
        assert httpx2.get(f"{url}/v1/models", headers=shown).json()["data"][0]["id"] == "tiny"


def test_health_and_metrics(url: str, client: openai.OpenAI) -> None:
    said(client, "1+1=?")
    assert httpx2.get(f"{url}/health").json()["status"] == "ok"
    numbers = httpx2.get(f"{url}/metrics").text
    assert 'sharpen_requests_total{route="/v1/chat/completions",status="200"}' in numbers
    assert "sharpen_batch_rows_sum" in numbers and 'sharpen_tokens_total{kind="completion"}' in numbers


def test_a_full_line_turns_away_and_a_closed_one_tells(tiny: Served) -> None:
    batcher = Batcher(tiny, rows=4, waiting=2)
    asked = Asked(Task.ask("1+1=?", ""), Decoding(0.0, 1.0, 8), seed=0)
    first = batcher.submit(replace(asked, samples=64, decoding=Decoding(1.0, 1.0, 60)))
    while batcher.waiting:
        threading.Event().wait(0.001)
    others = [batcher.submit(asked) for _ in range(2)]
    with pytest.raises(Busy, match="2 requests are waiting"):
        batcher.submit(asked)
    batcher.close()
    assert first.done() and all(other.cancelled() for other in others)


def test_a_bad_request_spoils_nobody_elses_answer(tiny: Served) -> None:
    batcher = Batcher(tiny, rows=64, waiting=9)
    good = Asked(Task.ask("1+1=?", ""), Decoding(0.0, 1.0, 8), seed=0)
    answers = [batcher.submit(good), batcher.submit(replace(good, task=Task.ask("1 " * 3000, "")))]
    assert answers[0].result(20)[0].response
    with pytest.raises(BadInput, match="takes"):
        answers[1].result(20)
    batcher.close()


def test_our_client_runs_a_recipe_against_it(url: str, tmp_path: Path) -> None:
    spec = RunSpec(
        recipe="self_refine",
        model=f"openai:tiny@{url}/v1",
        task="offhand?level=1",
        settings={"turns": 2},
        train=1,
        val=2,
        test=3,
        control_samples=2,
        max_tokens=20,
        threads=1,
    )
    heads = [execute(spec, tmp_path / name, StopAfter(None)).journal_head for name in ("one", "two")]
    assert heads[0] == heads[1], "seeds go through, so runs repeat"
    assert open_openai(f"tiny@{url}/v1").spent.requests == 0


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "improved"
    execute(small_spec("star"), folder, StopAfter(None))
    return folder


def attempts_at(folder: Path, split: str) -> list[tuple[Attempt, ...]]:
    """Attempts at a split by each policy that was scored on it, in order."""
    store = ArtifactStore(folder / "store")
    rows = [row.entry for row in read_rows(folder) if row.entry.key.startswith(f"evaluate/{split}/")]
    return [decode(tuple[Attempt, ...], store.get(row.blob)) for row in rows if row.verb == "attempt"]


def test_a_run_is_served_as_it_was_tested(run: Path, tmp_path: Path, pool: JudgePool) -> None:
    before = {path: path.stat().st_mtime_ns for path in (run / "store").rglob("*")}
    served = open_served(str(run), Choice(), pool, tmp_path)
    tested = attempts_at(run, "test")[-1]
    spec = small_spec("star")
    tasks = load_tasks(spec.task, seed=0, train=spec.train, val=spec.val, test=spec.test).open_test()
    how = Decoding(served.temperature, 1.0, served.max_tokens)
    asked = [Asked(Task(messages=task.messages, answer=""), how, seed=1) for task in tasks]
    with listening(served) as url:
        assert httpx2.get(f"{url}/health").json()["policy"] == served.policy.version == tested[0].policy
    found = [attempts[0].response for attempts in answer(served, asked)]
    assert found == [attempt.response for attempt in tested]
    assert {path: path.stat().st_mtime_ns for path in (run / "store").rglob("*")} == before, (
        "the run is only read"
    )


def test_a_way_of_answering_is_served(tmp_path: Path, pool: JudgePool) -> None:
    result = execute(small_spec("self_refine"), tmp_path / "run", StopAfter(None))
    served = open_served(str(tmp_path / "run"), Choice(), pool, tmp_path / "scratch")
    assert served.workflow is not None and served.policy.version == result.policy
    how = Decoding(0.0, 1.0, served.max_tokens)
    asked = [Asked(Task.ask(question, ""), how, seed=4, samples=2) for question in ("3+4=?", "12-5=?")]
    both = answer(served, asked)
    assert both == [answer(served, [one])[0] for one in asked], "batches do not matter"
    assert all(attempt.outcome for attempts in both for attempt in attempts), "facts of the refinement"
    assert not list(served.scratch.glob("*/journal.sqlite")), "nothing is left behind"


def test_what_needs_labels_or_a_world_is_not_served(tiny: Served, tmp_path: Path, pool: JudgePool) -> None:
    task = Task.ask("1+1=?", "")
    (attempt,) = answer(tiny, [Asked(task, Decoding(0.0, 1.0, 8), seed=0)])[0]
    (verdict,) = tiny.verifier.judge([(task, attempt)], lambda sha: b"")
    assert value_of(verdict) is None, "unknown, never wrong"
    player = replace(tiny, policy=tiny.policy.acting("episodes"))
    with pytest.raises(BadInput):
        prove(player)
    with pytest.raises(BadInput, match=r"no config\.json"):
        open_served(str(tmp_path), Choice(), pool, tmp_path)


def test_the_command_refuses_to_be_open_to_all(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SHARPEN_API_KEY", raising=False)
    with pytest.raises(SystemExit):
        main(["serve", "tiny", "--host", "0.0.0.0"])
    assert "SHARPEN_API_KEY" in capsys.readouterr().err


def test_requests_without_a_seed_share_no_chance(tiny: Served) -> None:
    """A workflow answers a call by one seed: equal questions must not be in the same call."""
    refining = replace(tiny, workflow=lambda scope, bare, tasks: [])
    one, other = (
        Asked(Task.ask(question, ""), Decoding(), seed=number, free=True)
        for number, question in enumerate(("1+1=?", "2+2=?"))
    )
    assert lane_of(refining, one) == lane_of(refining, other), "any seed would do, so they can share one"
    assert repeats(refining, [other, one], replace(one, seed=7)) and not repeats(refining, [other], one)
    assert not repeats(refining, [one], replace(one, free=False)), "who names a seed wants that one"
    assert not repeats(tiny, [one], one), "without a workflow every request has its own"
