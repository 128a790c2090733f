"""Pictures and calls in dialogues: what goes over each wire, what comes back, what a world makes of it."""

from __future__ import annotations

import json
import random
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers_endpoint import Endpoint
from sharpen.actors.base import Cast, Stage
from sharpen.core.artifact import ArtifactStore
from sharpen.core.attempt import Attempt, Author, Turn
from sharpen.core.dialogue import MOST_PICTURE_BYTES, Call, Calling, Media, Picture
from sharpen.core.engine import Judging
from sharpen.core.errors import BadInput
from sharpen.core.policy import Job, Policy
from sharpen.core.task import Message, Role, Task
from sharpen.core.updater import Stopwatch
from sharpen.core.verdict import Scored
from sharpen.environments.python_tool import PYTHON
from sharpen.environments.tools import OFFERED, ToolEpisode, parse
from sharpen.experiment.check_recipe import StopAfter
from sharpen.experiment.execute import execute
from sharpen.experiment.spec import RunSpec
from sharpen.judges.opinions import Pointwise, Rubric
from sharpen.models.base import Decoding, Prompt
from sharpen.models.dialogue import CHAT_MARK, read, read_arguments, text_tool, written
from sharpen.models.source import open_model
from sharpen.tasks.hinted import generate

PNG = b"\x89PNG\r\n\x1a\n" + b"anything"
KINDS = {"openai": "openai", "anthropic": "anthropic", "gemini": "google.genai"}
ADD = text_tool("add", "Adds.", "sum", "What to add.")
WAY = Decoding(max_tokens=9)

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
calls = st.builds(Call, name=words, arguments=st.none() | st.dictionaries(words, words, max_size=2), id=words)
messages = st.builds(
    Message,
    role=st.sampled_from(Role),
    content=words,
    pictures=st.lists(st.just(Picture.of(PNG)), max_size=2).map(tuple),
    calls=st.lists(calls, max_size=2).map(tuple),
    answers=words,
)


@pytest.fixture
def server() -> Iterator[Endpoint]:
    endpoint = Endpoint()
    yield endpoint
    endpoint.close()


def opened(server: Endpoint, kind: str, options: str = "tools=true&images=true") -> Any:
    pytest.importorskip(KINDS[kind])
    url = server.url if kind == "openai" else server.url.removesuffix("/v1")
    return open_model(f"{kind}:m@{url}?{options}")


@given(st.lists(messages, max_size=4))
def test_dialogues_are_spelt_without_loss(dialogue: list[Message]) -> None:
    assert read(written(dialogue)) == dialogue


@given(st.lists(st.builds(Message, role=st.sampled_from(Role), content=words), max_size=3))
def test_words_alone_are_spelt_as_they_always_were(dialogue: list[Message]) -> None:
    assert written(dialogue) == json.dumps([{"role": m.role.value, "content": m.content} for m in dialogue])


@given(st.binary(max_size=20))
def test_only_pictures_are_pictures(data: bytes) -> None:
    with pytest.raises(BadInput, match="PNG, JPEG, GIF or WebP"):
        Picture.of(b"%" + data)


def test_pictures_of_every_kind() -> None:
    begin = {
        Media.JPEG: b"\xff\xd8\xff\xe0",
        Media.GIF: b"GIF89a",
        Media.WEBP: b"RIFF....WEBP",
        Media.PNG: PNG,
    }
    for media, data in begin.items():
        picture = Picture.of(data)
        assert picture.media is media and picture.bytes == data
        assert picture.url == f"data:{media.value};base64,{b64encode(data).decode()}"
    with pytest.raises(BadInput, match="too large"):
        Picture.of(PNG + bytes(MOST_PICTURE_BYTES))


@pytest.mark.parametrize("text", ["", "[1]", "{", '"x"', "[" * 99_999, '{"a": "' + "x" * 100_000 + '"}'])
def test_arguments_that_are_none(text: str) -> None:
    assert read_arguments(text) is None


@pytest.mark.parametrize("kind", KINDS)
def test_a_call_comes_back_and_its_result_goes_out(server: Endpoint, kind: str) -> None:
    model = opened(server, kind)
    server.behave = ["call add sum=2+3", "ok"]
    server.says = lambda asked: "five"
    question = Message(role=Role.USER, content="2+3?", pictures=(Picture.of(PNG),))
    (done,) = model.sample([Prompt(model.chat([question]), (1,), tools=(ADD,))], WAY)
    (call,) = done.samples[0].calls
    assert call.name == "add" and call.text("sum") == "2+3" and call.text("other") is None and call.id
    asked = json.dumps(server.asked[0])
    assert "What to add." in asked and Picture.of(PNG).data in asked and "2+3?" in asked
    answer = Message(role=Role.ASSISTANT, content="", calls=(call,))
    result = Message(role=Role.TOOL, content="it is 5", answers=call.id)
    (done,) = model.sample([Prompt(model.chat([question, answer, result]), (1,), tools=(ADD,))], WAY)
    assert done.samples[0].text == "five" and not done.samples[0].calls
    sent = server.asked[1]
    spoken = sent["contents"] if kind == "gemini" else sent["messages"]
    assert len(spoken) == 3
    assert EXPECTED[kind](spoken[1], call) and EXPECTED_RESULTS[kind](spoken[2], call)
    model.sample([Prompt(model.chat([question]), (1,), tools=(ADD,), calling=Calling.MUST)], WAY)
    assert MUST[kind](server.asked[2]) and not any(MUST[kind](sent) for sent in server.asked[:2])


MUST: dict[str, Any] = {
    "openai": lambda body: body.get("tool_choice") == "required",
    "anthropic": lambda body: body.get("tool_choice") == {"type": "any"},
    "gemini": lambda body: body.get("toolConfig") == {"functionCallingConfig": {"mode": "ANY"}},
}
EXPECTED: dict[str, Any] = {
    "openai": lambda m, c: json.loads(m["tool_calls"][0]["function"]["arguments"]) == {"sum": "2+3"},
    "anthropic": lambda m, c: (
        m["content"] == [{"type": "tool_use", "id": c.id, "name": "add", "input": {"sum": "2+3"}}]
    ),
    "gemini": lambda m, c: (
        m["parts"][0]["functionCall"]["args"] == {"sum": "2+3"}
        and m["parts"][0]["thoughtSignature"] == c.seal != ""
    ),
}
EXPECTED_RESULTS: dict[str, Any] = {
    "openai": lambda m, c: m == {"role": "tool", "content": "it is 5", "tool_call_id": c.id},
    "anthropic": lambda m, c: (
        m["role"] == "user"
        and m["content"] == [{"type": "tool_result", "tool_use_id": c.id, "content": "it is 5"}]
    ),
    "gemini": lambda m, c: (
        m["role"] == "user"
        and m["parts"][0]["functionResponse"]["name"] == "add"
        and m["parts"][0]["functionResponse"]["response"] == {"result": "it is 5"}
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_an_endpoint_is_not_said_to_do_is_refused(server: Endpoint, kind: str) -> None:
    model = opened(server, kind, "timeout=9")
    seen = Message(role=Role.USER, content="?", pictures=(Picture.of(PNG),))
    with pytest.raises(BadInput, match="images=true"):
        model.sample([Prompt(model.chat([seen]), (1,))], WAY)
    with pytest.raises(BadInput, match="tools=true"):
        model.sample([Prompt("?", (1,), tools=(ADD,))], WAY)
    plain = Message(role=Role.TOOL, content='they said "pictures"')
    model.sample([Prompt(model.chat([plain]), (1,))], WAY)
    assert len(server.asked) == 1 and '"tool"' not in json.dumps(server.asked[0])


def test_calls_are_kept_on_disk_and_told_apart_by_what_was_offered(
    server: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHARPEN_CACHE", str(tmp_path))
    server.behave = ["call add sum=1"]
    found = []
    for tools in ((ADD,), (ADD,), ()):
        model = opened(server, "openai", "tools=true&cache=true")
        found.append(model.sample([Prompt("?", (1,), tools=tools)], WAY)[0].samples[0].calls)
    assert found[0] == found[1] != () and found[2] == () and len(server.asked) == 2


@pytest.mark.parametrize("kind", [Pointwise, Rubric])
def test_a_judge_sees_the_pictures_of_an_attempt(
    server: Endpoint, tmp_path: Path, kind: type[Pointwise] | type[Rubric]
) -> None:
    model = opened(server, "openai", "images=true")
    judging = Judging({"j": model}, ArtifactStore(tmp_path), Stopwatch())
    judge = Policy(model="j", base=model.fingerprint, prompt=model.form)
    files = {"image.png": judging.store.put(PNG), "notes.txt": judging.store.put(b"no picture")}
    task, turn = Task.ask("a red square", ""), Turn(author=Author.POLICY, text="")
    drawn = Attempt(task=task.key, index=0, policy="p", turns=(turn,), files=files)
    server.says = lambda asked: "Verdict: yes" if "yes or no" in asked else "Verdict: 5"
    for pictures in (True, False):
        (verdict,) = kind(judge, pictures=pictures).judge_by(judging, [(task, drawn)])
        assert isinstance(verdict, Scored) and verdict.value == 1
        shown = json.dumps(server.asked[-1]["messages"])
        assert shown.count("data:image/png;base64,") == int(pictures) and "a red square" in shown


def test_a_run_with_python_as_a_function(server: Endpoint, tmp_path: Path) -> None:
    """The model calls `python` with the question's expression and then says what it printed."""
    pytest.importorskip("openai")

    def act(body: dict[str, Any]) -> str:
        last = body["messages"][-1]
        if last["role"] == "tool":
            return f"#### {last['content']}"
        expression = last["content"].split("=?")[0].split()[-1]
        return f"call {PYTHON.name} code=print({expression})"

    server.acts = act
    spec = RunSpec(
        recipe="self_refine",
        model=f"openai:m@{server.url}?tools=true",
        task="calculations?level=1",
        settings={"turns": 0},
        train=1,
        val=1,
        test=3,
        control_samples=2,
        threads=1,
    )
    result = execute(spec, tmp_path, StopAfter(None))
    assert result.test.before.mean == 1 and result.coverage == 1
    assert all(body["tools"][0]["function"]["name"] == "python" for body in server.asked)
    assert any(body["messages"][-1].get("tool_call_id") for body in server.asked)


def test_an_episode_keeps_every_message_once(server: Endpoint, tmp_path: Path) -> None:
    """What was sent in the last request is what the trace holds: words shown and words said, each once."""
    model = opened(server, "openai", "timeout=9")
    server.says = lambda asked: "not a number"
    cast = Cast(Stage({"m": model}, ArtifactStore(tmp_path), Stopwatch()))
    policy = Policy(model="m", base=model.fingerprint, prompt=model.form, actor="episodes")
    task = generate(random.Random(1), turns=6)
    (attempt,) = cast.act(policy, [Job(task=task, index=0, seed=1)], WAY)
    shown = [turn.text for turn in attempt.turns if turn.author is not Author.POLICY]
    kept = [message for text in shown for message in read(text.removeprefix(CHAT_MARK))]
    sent = [message for message in server.asked[-1]["messages"] if message["role"] != "assistant"]
    assert attempt.policy_turns == len(server.asked) == 6
    assert [(message.role, message.content) for message in kept] == [(m["role"], m["content"]) for m in sent]


@given(
    st.builds(
        Call,
        name=st.sampled_from([*[t.name for t in OFFERED.values()], "other"]),
        arguments=st.none() | st.dictionaries(st.sampled_from(["text", "x"]), words, max_size=2),
    )
)
def test_a_call_means_a_legal_move_or_none(call: Call) -> None:
    move = parse(ToolEpisode.spelt(None, call))  # type: ignore[arg-type]  # it looks at the call alone
    if move is not None:
        assert call.name != "other" and move.text == " ".join((call.text("text") or "").split())
