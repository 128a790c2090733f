"""The scripted test double."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharpen.core.attempt import Stop
from sharpen.core.errors import BadInput, Unavailable
from sharpen.core.task import Message, Role
from sharpen.models.base import Capability, Decoding, Model, Prompt
from sharpen.models.scripted import SCRIPTS, ScriptedModel, open_scripted

HARMLESS = sorted(SCRIPTS.keys() - {"failing", "slow"})


@given(st.sampled_from(HARMLESS), st.text(max_size=20), st.lists(st.integers(0, 2**62), max_size=3))
def test_depends_on_prompt_and_seed_alone(script: str, text: str, seeds: list[int]) -> None:
    decoding = Decoding(max_tokens=30)
    together = open_scripted(script).sample([Prompt("x", (1,)), Prompt(text, tuple(seeds))], decoding)[1]
    alone = [open_scripted(script).sample([Prompt(text, (seed,))], decoding)[0].samples[0] for seed in seeds]
    assert list(together.samples) == alone
    for sample in together.samples:
        assert len(sample.token_ids) <= 30
        assert sample.logprobs is not None and len(sample.logprobs) == len(sample.token_ids)


def test_is_a_model() -> None:
    model: Model = ScriptedModel({"2?": "two"}, capabilities=frozenset({Capability.PREFIX}))
    done = model.sample([Prompt("what is 2?", (7,))], Decoding())[0]
    assert (done.samples[0].text, done.samples[0].logprobs, done.samples[0].stop) == ("two", None, Stop.END)
    assert done.prompt_ids == tuple(map(ord, "what is 2?"))
    assert model.capabilities == {Capability.PREFIX}
    model.load(Path("w"))
    model.load(None)


def test_stops_and_limits() -> None:
    model = ScriptedModel(lambda prompt, seed: "one\n\ntwo")
    stopped = model.sample([Prompt("q", (0,))], Decoding(stop=("\n\n",)))[0].samples[0]
    assert (stopped.text, stopped.stop) == ("one", Stop.STOP_TEXT)
    cut = model.sample([Prompt("q", (0,))], Decoding(max_tokens=2))[0].samples[0]
    assert (cut.text, cut.stop) == ("on", Stop.LENGTH)


def test_prefix_begins_the_response_and_is_scored_alike() -> None:
    model = ScriptedModel(lambda prompt, seed: prompt[-1] + "!")
    done = model.sample([Prompt("q", (0,), prefix="ab")], Decoding())[0]
    assert done.samples[0].text == "abb!"
    assert done.samples[0].logprobs == model.logprobs([(done.prompt_ids, done.samples[0].token_ids)])[0]


def test_greedy_ignores_the_seed() -> None:
    model = open_scripted("digits")
    done = model.sample([Prompt("q", tuple(range(20)))], Decoding(temperature=0))[0]
    assert len({sample.text for sample in done.samples}) == 1
    warm = model.sample([Prompt("q", tuple(range(20)))], Decoding(temperature=1))[0]
    assert len({sample.text for sample in warm.samples}) > 1


def test_bad_days() -> None:
    with pytest.raises(Unavailable):
        open_scripted("failing").sample([Prompt("q", (0,))], Decoding())
    start = time.perf_counter()
    open_scripted("slow").sample([Prompt("q", (0,))], Decoding())
    assert time.perf_counter() - start >= 0.1
    assert "\x00" in open_scripted("malformed").sample([Prompt("q", (0,))], Decoding())[0].samples[0].text


def test_script_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("def shout(prompt, seed):\n    return prompt.upper()\n")
    model = open_scripted(f"{file}:shout")
    assert model.sample([Prompt("hey", (0,))], Decoding())[0].samples[0].text == "HEY"
    with pytest.raises(BadInput, match="no function"):
        open_scripted(f"{file}:whisper")
    with pytest.raises(BadInput, match="one of: echo"):
        open_scripted("nothing")


def test_fingerprint_follows_the_script() -> None:
    assert open_scripted("echo").fingerprint != open_scripted("digits").fingerprint
    assert ScriptedModel({"a": "b"}).fingerprint != ScriptedModel({"a": "c"}).fingerprint
    assert ScriptedModel({"a": "b"}).fingerprint == ScriptedModel({"a": "b"}).fingerprint


def test_chat_and_codes() -> None:
    model = open_scripted("echo")
    text = model.chat([Message(role=Role.SYSTEM, content="s"), Message(role=Role.USER, content="u")])
    assert text == "system: s\nuser: u\n"
    assert model.decode(model.encode("aé∑")) == "aé∑"
