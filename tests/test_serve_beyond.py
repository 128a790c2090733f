"""Functions, schemas and pictures through the server, by the official client and our own; hostile words."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
pytest.importorskip("prometheus_client")
pytest.importorskip("openai")
pytest.importorskip("jsonschema")
pytest.importorskip("PIL")

import jsonschema
import openai
from PIL import Image

from helpers_endpoint import Endpoint
from helpers_models import make_model_folder
from helpers_serve import listening
from sharpen.core.attempt import Stop
from sharpen.core.dialogue import Picture, Tool
from sharpen.core.policy import Decoding, Style
from sharpen.core.task import Message, Role
from sharpen.executors.pool import JudgePool
from sharpen.experiment.check_recipe import StopAfter
from sharpen.experiment.execute import execute
from sharpen.experiment.spec import RunSpec
from sharpen.judges.asking import form_of
from sharpen.models.base import Completion, Prompt
from sharpen.models.calls import MOST_CALLS, opening, read_calls
from sharpen.models.dialogue import text_tool
from sharpen.models.hf import HFModel
from sharpen.models.hf_rows import Drawn
from sharpen.models.source import open_model
from sharpen.serve.app import parsed
from sharpen.serve.schemas import Form
from sharpen.serve.served import Choice, Served, open_served
from sharpen.serve.wanted import wanted
from sharpen.serve.wire import ChatRequest, Refusal

SCRIPT = '''
import json, re

def work(prompt, seed):
    """Calls `python` for the last sum if it may, and says what came of it."""
    last = [line for line in prompt.splitlines() if line][-1]
    if last.startswith("tool: "):
        return f"#### {last.removeprefix('tool: ')}"
    if prompt.endswith('"arguments": '):
        return '{"code": "forced"}}</tool_call>'
    if "fits this schema" in prompt:
        return '{"count": 3, "parts": [{"name": "x"}]}' if "three" in prompt else '{"count": "many"}'
    if "function: python" not in prompt:
        return "no function"
    code = "print(" + re.findall(r"\\S+(?==\\?)", prompt)[-1] + ")"
    call = json.dumps({"name": "python", "arguments": {"code": code}})
    return f"Let me see. <tool_call>{call}</tool_call>"
'''
PYTHON = {
    "type": "function",
    "function": {
        "name": "python",
        "description": "Runs code.",
        "parameters": {"type": "object", "properties": {"code": {"type": "string"}}},
    },
}
HERMES = (
    "{% if tools %}tools: {{ tools | tojson }} <tool_call>\n{% endif %}"
    "{% for m in messages %}[{{ m.role }}] {{ m.content }}"
    "{% for c in m.tool_calls or [] %}<tool_call>{{ c.function | tojson }}</tool_call>{% endfor %}\n"
    "{% endfor %}[assistant] "
)
ADD = text_tool("add", "Adds.", "sum", "What to add.")


class Part(BaseModel):
    name: str


class Parts(BaseModel):
    count: int
    parts: tuple[Part, ...] = ()


@pytest.fixture(scope="module")
def pool() -> Iterator[JudgePool]:
    with JudgePool() as opened:
        yield opened


@pytest.fixture(scope="module")
def scripted(tmp_path_factory: pytest.TempPathFactory, pool: JudgePool) -> Iterator[str]:
    """A server whose policy calls functions; its address."""
    folder = tmp_path_factory.mktemp("script")
    (folder / "play.py").write_text(SCRIPT)
    served = open_served(f"scripted:{folder}/play.py:work", Choice(style=Style.CHAT), pool, folder)
    with listening(named(served, "player")) as url:
        yield url


def named(served: Served, name: str) -> Served:
    return replace(served, name=name)


@pytest.fixture
def client(scripted: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(api_key="none", base_url=f"{scripted}/v1", max_retries=0) as opened:
        yield opened


def asked(client: openai.OpenAI, text: str = "2+3=?", **more: Any) -> Any:
    dialogue = [{"role": "user", "content": text}]
    return client.chat.completions.create(model="player", **{"messages": dialogue, **more})


def test_a_function_is_called_and_its_result_is_heard(client: openai.OpenAI) -> None:
    (choice,) = asked(client, tools=[PYTHON]).choices
    (call,) = choice.message.tool_calls
    assert choice.finish_reason == "tool_calls" and choice.message.content == "Let me see."
    assert call.function.name == "python" and json.loads(call.function.arguments) == {"code": "print(2+3)"}
    result = {"role": "tool", "tool_call_id": call.id, "content": "5"}
    dialogue = [{"role": "user", "content": "2+3=?"}, choice.message.model_dump(exclude_none=True), result]
    (choice,) = asked(client, messages=dialogue, tools=[PYTHON]).choices
    assert choice.message.content == "#### 5" and choice.finish_reason == "stop"
    assert choice.message.tool_calls is None


def test_a_stream_brings_the_same_calls(client: openai.OpenAI) -> None:
    words, arguments, ends = "", "", []
    for chunk in asked(client, tools=[PYTHON], stream=True):
        for choice in chunk.choices:
            words += choice.delta.content or ""
            arguments += "".join(call.function.arguments for call in choice.delta.tool_calls or [])
            ends += [choice.finish_reason] if choice.finish_reason else []
    assert words == "Let me see." and json.loads(arguments) == {"code": "print(2+3)"}
    assert ends == ["tool_calls"]


def test_choices_are_honoured(client: openai.OpenAI) -> None:
    assert asked(client, tools=[PYTHON], tool_choice="none").choices[0].message.content == "no function"
    named_one = {"type": "function", "function": {"name": "python"}}
    for choice in ("required", named_one):
        message = asked(client, tools=[PYTHON], tool_choice=choice).choices[0].message
        assert message.tool_calls[0].function.arguments == '{"code": "forced"}'
    unread = asked(client, tools=[PYTHON], tool_choice="required", max_tokens=12).choices[0].message
    assert unread.content is None and "No call" in unread.refusal


@pytest.mark.parametrize(
    "more, field",
    [
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": [PYTHON], "tool_choice": {"type": "function", "function": {"name": "x"}}}, "tool_choice"),
        ({"tools": [PYTHON, PYTHON]}, "tool_choice"),
        ({"tools": [{"type": "function", "function": {"name": "not a name"}}]}, "tools.0.function.name"),
        ({"tools": [PYTHON] * 200}, "tools"),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}}, "response_format"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": {"pattern": "(a+)+$"}}}},
            "response_format",
        ),
    ],
)
def test_what_cannot_be_done_is_named(client: openai.OpenAI, more: dict[str, Any], field: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        asked(client, **more)
    assert str(caught.value.param).startswith(field)


def test_a_reply_fits_the_schema_or_is_refused(client: openai.OpenAI) -> None:
    def parse(text: str) -> Any:
        dialogue = [{"role": "user", "content": text}]
        done = client.chat.completions.parse(model="player", messages=dialogue, response_format=Parts)  # type: ignore[arg-type]
        return done.choices[0].message

    fits, fails = parse("give three"), parse("give some")
    assert fits.parsed == Parts(count=3, parts=(Part(name="x"),)) and fits.refusal is None
    assert fails.parsed is None and "count" in fails.refusal and "integer" in fails.refusal
    loose = asked(client, response_format={"type": "json_object"}).choices[0].message
    assert json.loads(loose.content) == {"count": "many"}
    pieces = asked(client, response_format={"type": "json_object"}, stream=True)
    assert "".join(c.choices[0].delta.content or "" for c in pieces if c.choices) == loose.content


def test_our_own_client_plays_with_functions(scripted: str, tmp_path: Path) -> None:
    spec = RunSpec(
        recipe="self_refine",
        model=f"openai:player@{scripted}/v1?tools=true",
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


# ---- a policy whose words are drawn token by token


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory, pool: JudgePool) -> Served:
    folder = make_model_folder(tmp_path_factory.mktemp("models"))
    (folder / "chat_template.jinja").write_text(HERMES)
    served = open_served(str(folder), Choice(style=Style.CHAT, threads=1, max_tokens=9), pool, folder)
    assert isinstance(served.model, HFModel)
    served.model.module.config.max_position_embeddings = 4096
    return named(served, "player")


def saying(model: HFModel, say: Callable[[str], str]) -> Callable[..., list[list[Drawn]]]:
    """Draws the tokens of what is said to a prompt."""

    def draw(shares: Any, decoding: Any) -> list[list[Drawn]]:
        texts = [say(model.decode(share.ids)) for share in shares]
        rows = [model.encode_response(text) for text in texts]
        return [
            [Drawn(list(ids), [-1.0] * len(ids), Stop.END) for _ in share.seeds]
            for share, ids in zip(shares, rows, strict=True)
        ]

    return draw


def test_a_chat_template_carries_functions_and_their_results(
    local: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[str] = []

    def say(prompt: str) -> str:
        heard.append(prompt)
        if prompt.endswith('"arguments": '):
            return '{"code": "1"}}</tool_call>'
        return '<tool_call>\n{"name": "python", "arguments": {"code": "<eos>"}}\n</tool_call>'

    assert isinstance(local.model, HFModel)
    monkeypatch.setattr(local.model, "_draw", saying(local.model, say))
    with listening(local) as url, openai.OpenAI(api_key="none", base_url=f"{url}/v1") as client:
        message = asked(client, tools=[PYTHON]).choices[0].message
        call = message.tool_calls[0]
        assert '"Runs code."' in heard[-1] and "[user] 2+3=?" in heard[-1]
        assert json.loads(call.function.arguments) == {"code": "<eos>"}
        result = {"role": "tool", "tool_call_id": call.id, "content": "5"}
        dialogue = [{"role": "user", "content": "?"}, message.model_dump(exclude_none=True), result]
        asked(client, messages=dialogue, tools=[PYTHON])
        assert "< eos>" in heard[-1] and "[tool] 5" in heard[-1], "what ends texts is broken up in a history"
        forced = asked(client, tools=[PYTHON], tool_choice="required").choices[0].message
        assert forced.tool_calls[0].function.arguments == '{"code": "1"}'


def test_a_model_without_a_place_for_them_says_so(local: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(local.model, HFModel)
    monkeypatch.setattr(local.model.tokenizer, "chat_template", "{{ messages[0].content }}")
    picture = {"type": "image_url", "image_url": {"url": data_url(png(3, 3))}}
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    dialogue = [{"role": "user", "content": "?"}, {"role": "assistant", "tool_calls": [call]}]
    with listening(local) as url, openai.OpenAI(api_key="none", base_url=f"{url}/v1") as client:
        for more, field in (
            ({"tools": [PYTHON]}, "tools"),
            ({"messages": dialogue}, "messages.1.tool_calls"),
            ({"messages": [{"role": "user", "content": [picture]}]}, "messages.0.content"),
        ):
            with pytest.raises(openai.BadRequestError) as caught:
                asked(client, **more)
            assert caught.value.param == field


def test_a_field_is_named_as_the_client_wrote_it(client: openai.OpenAI) -> None:
    part = {"type": "image_url", "image_url": {"url": "http://127.0.0.1/x.png"}}
    with pytest.raises(openai.BadRequestError, match="nothing is fetched") as caught:
        asked(client, messages=[{"role": "user", "content": [part]}])
    assert caught.value.param == "messages.0.content.0.image_url.url"


# ---- pictures


def png(width: int, height: int) -> bytes:
    buffer = BytesIO()
    Image.new("RGB", (width, height), (200, 10, 10)).save(buffer, format="PNG")
    return buffer.getvalue()


def data_url(data: bytes) -> str:
    return f"data:image/png;base64,{b64encode(data).decode()}"


@pytest.fixture
def behind() -> Iterator[Endpoint]:
    endpoint = Endpoint()
    endpoint.says = lambda asked: "red" if "data:image/png" in asked else "nothing to see"
    yield endpoint
    endpoint.close()


def test_a_policy_behind_an_endpoint_sees_pictures(behind: Endpoint, pool: JudgePool, tmp_path: Path) -> None:
    target = f"openai:m@{behind.url}?images=true&tools=true&json_schema=true"
    served = named(open_served(target, Choice(), pool, tmp_path), "player")
    with listening(served) as url, openai.OpenAI(api_key="none", base_url=f"{url}/v1") as client:
        shown = {"type": "image_url", "image_url": {"url": data_url(png(3, 3)), "detail": "low"}}
        parts = [{"type": "text", "text": "Which colour?"}, shown]
        reply = asked(client, messages=[{"role": "user", "content": parts}])
        assert reply.choices[0].message.content == "red"
        behind.behave = ["call python code=1"]
        called = asked(client, tools=[PYTHON]).choices[0].message.tool_calls[0]
        assert called.id == "call_1" and json.loads(called.function.arguments) == {"code": "1"}
        asked(client, response_format={"type": "json_object"})
        assert behind.asked[-1]["response_format"]["json_schema"]["schema"] == {"type": "object"}
        for bad in (
            "http://127.0.0.1/x.png",
            data_url(png(3, 3)[:40]),
            data_url(b"%PDF"),
            data_url(png(5000, 1)),
        ):
            count = len(behind.asked)
            part = {"type": "image_url", "image_url": {"url": bad}}
            with pytest.raises(openai.BadRequestError) as caught:
                asked(client, messages=[{"role": "user", "content": [part]}])
            assert str(caught.value.param).startswith("messages.0.content") and len(behind.asked) == count
        asked(client, tools=[PYTHON], tool_choice="required")
        assert behind.asked[-1]["tool_choice"] == "required"


def test_our_own_client_shows_pictures_and_fills_in_forms(
    behind: Endpoint, pool: JudgePool, tmp_path: Path
) -> None:
    target = f"openai:m@{behind.url}?images=true&json_schema=true"
    served = named(open_served(target, Choice(), pool, tmp_path), "player")
    form = form_of(["red", "blue"])
    with listening(served) as url:
        model: Any = open_model(f"openai:player@{url}/v1?images=true&json_schema=true")
        seen = Message(role=Role.USER, content="Which?", pictures=(Picture.of(png(2, 2)),))

        def ask(says: str) -> Completion:
            behind.says = lambda asked: says if "data:image/png" in asked else "blind"
            return model.sample([Prompt(model.chat([seen]), (1,), schema=form)], Decoding())[0].samples[0]

        right = '{"thoughts": "", "verdict": "red"}'
        assert ask(right).text == right and ask("red").stop is Stop.FAILED, "what does not fit is no answer"
        assert behind.asked[-1]["response_format"]["json_schema"]["schema"] == form


# ---- hostile requests, words and schemas

junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just("\ud83d"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
PIECES: list[Any] = [
    *("user", "tool", "assistant", "x", "function", "required", "auto", "image_url", "text", "json_schema"),
    *(PYTHON, {"url": "data:image/png;base64,AAAA"}, {"type": "text", "text": "?"}, {"schema": {"type": 3}}),
    {"type": "image_url", "image_url": {"url": "data:,"}},
    {"id": "1", "type": "function", "function": {"name": "python", "arguments": "[" * 3000}},
]
pieces = st.sampled_from(PIECES) | junk
messages = st.fixed_dictionaries(
    {"role": pieces, "content": st.lists(pieces, max_size=2) | pieces},
    optional={"tool_calls": st.lists(pieces, max_size=2), "tool_call_id": pieces},
)
bodies = st.fixed_dictionaries(
    {"messages": st.lists(messages, max_size=2)},
    optional={
        "tools": st.lists(pieces, max_size=2),
        "tool_choice": pieces,
        "response_format": st.fixed_dictionaries({"type": pieces}, optional={"json_schema": pieces}),
    },
)


@given(bodies)
def test_any_request_is_understood_or_refused(local: Served, body: dict[str, Any]) -> None:
    data = json.dumps({"model": "player", **body}).encode()
    try:
        assert wanted(local, parsed(data, ChatRequest)).task.messages
    except Refusal as refusal:
        assert refusal.status == 400


def test_nesting_and_numbers_are_bounded(local: Served) -> None:
    deep: Any = {}
    for _ in range(150):
        deep = {"properties": {"a": deep}}
    shown = [{"type": "image_url", "image_url": {"url": data_url(png(1, 1))}}] * 17
    for more in (
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": deep}}]},
        {"response_format": {"type": "json_schema", "json_schema": {"schema": deep}}},
        {"messages": [{"role": "user", "content": shown}]},
    ):
        body = {"model": "player", "messages": [{"role": "user", "content": "?"}], **more}
        with pytest.raises(Refusal):
            wanted(local, parsed(json.dumps(body).encode(), ChatRequest))


MARKS = ["<tool_call>", "</tool_call>", '{"name": "add", ', '"arguments": {', '{"name": "add"}', '"sum": "1"']
BITS = ["}}", "}", "[", "]", "{", '"a":', "1e999", '"\\ud83d"', "NaN", " ", "\n", "x", "9" * 5000, "[" * 3000]
fragments = st.lists(st.sampled_from(MARKS + BITS), max_size=12)


@given(fragments)
def test_hostile_calls_are_words(pieces: list[str]) -> None:
    text = "".join(pieces)
    words, calls = read_calls(text, [ADD])
    assert calls or words == text, "what is no call is not lost"
    assert len(calls) <= MOST_CALLS
    for call in calls:
        assert call.name == "add" and call.arguments is not None
        json.dumps(dict(call.arguments), allow_nan=False, ensure_ascii=False).encode()


@given(st.dictionaries(st.text("ab", min_size=1), st.text('xy"{}<\n', max_size=5), max_size=3), st.booleans())
def test_calls_are_read_back_in_every_form(arguments: dict[str, str], as_text: bool) -> None:
    given_ = json.dumps(arguments) if as_text else arguments
    call = {"name": "add", "arguments": given_}
    start = opening([ADD])
    forms = [
        f"<tool_call>\n{json.dumps(call)}\n</tool_call>",
        f"<tool_call>{json.dumps([call])}</tool_call>",
        json.dumps({"name": "add", "parameters": given_}),
        json.dumps([call]),
        start + json.dumps(given_) + "}",
    ]
    for text in forms:
        (found,) = read_calls(text, [ADD]).calls
        assert found.arguments == arguments
    assert not read_calls(forms[0], [Tool(name="other", description="", parameters={})]).calls


values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "x"]),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["count", "parts", "name"]), inner)
    ),
    max_leaves=6,
)


@given(values)
def test_a_form_says_what_its_schema_says(value: Any) -> None:
    for kind in (Parts, Part):
        schema = kind.model_json_schema()
        fits = jsonschema.Draft202012Validator(schema).is_valid(value)
        assert (Form.of(schema).problem(json.dumps(value)) is None) is fits


def doubled(count: int) -> dict[str, Any]:
    defs = {f"d{n}": {"anyOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(count)}
    return {"$ref": "#/$defs/d0", "$defs": {**defs, f"d{count}": {"type": "null"}}}


@pytest.mark.parametrize(
    "schema, problem",
    [
        ({"pattern": "(a+)+$"}, "'pattern' is not supported"),
        ({"patternProperties": {}}, "not supported"),
        ({"$ref": "http://127.0.0.1/schema.json"}, "leads nowhere"),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"items": {"$ref": "#/$defs/a"}}}}, "refers to itself"),
        (doubled(30), "more than"),
        ({"type": "no type"}, "no JSON schema"),
        ({"properties": {"a": 3}}, "no JSON schema"),
    ],
)
def test_schemas_that_are_not_acted_on(schema: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        Form.of(schema)


def test_words_beside_a_reference_hold_as_well() -> None:
    schema = {"$ref": "#/$defs/a", "allOf": [{"maximum": 3}], "$defs": {"a": {"type": "integer"}}}
    assert [Form.of(schema).problem(text) is None for text in ("2", "4", '"x"', "{")] == [True, *[False] * 3]
