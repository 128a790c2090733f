"""Asking a model a question with a closed set of answers, and reading nothing but the answer.

A written reply may think aloud; its verdict is the last line alone, `Verdict: yes`, and a reply without such
a line, with a word that is not on offer, or that was cut off, says nothing. A model that scores given text
is made to choose instead: each word's probability as the whole reply, over all words on offer. One that can
be held to a JSON schema thinks aloud in one field and fills in the verdict in another, which takes no other
word.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from math import exp
from typing import NamedTuple

from pydantic import JsonValue

from sharpen.core.attempt import Stop
from sharpen.core.budget import Usage
from sharpen.core.engine import Judging
from sharpen.core.errors import BadInput
from sharpen.core.policy import Decoding, Policy, Style
from sharpen.core.task import Message, Task
from sharpen.models.base import Capability, Completion, Prompt
from sharpen.models.loading import load_policy, render

FIELD = "Verdict"
MOST_WORDS = 512
"""Tokens of a written reply at most."""


class Way(StrEnum):
    """How a judge answers."""

    AUTO = "auto"
    """It chooses where it can score given text; else it fills in a form or, without one, writes."""
    WRITTEN = "written"
    CHOICE = "choice"
    FORM = "form"
    """JSON that the model is held to: its thoughts and one of the words."""


class Answer(NamedTuple):
    """What a judge answered."""

    shares: Mapping[str, float]
    """Of the words on offer, adding up to 1; empty where the reply says nothing."""
    said: str = ""
    """What it wrote."""

    @property
    def word(self) -> str | None:
        """The likeliest word, the first one of equals; none where the reply says nothing."""
        return max(self.shares, key=self.shares.__getitem__) if self.shares else None


def ask(
    judging: Judging, judge: Policy, way: Way, messages: Sequence[Sequence[Message]], words: Sequence[str]
) -> list[Answer]:
    """One answer per dialogue, in order; nothing is drawn by chance.

    BadInput for words that cannot be told apart, or if the model cannot answer in the way that is asked for.
    """
    check_words(words)
    model = judging.models[judge.model]
    how = _WAYS[_settled(way, judge, model.capabilities)]
    with judging.stopwatch:
        load_policy(model, judge, judging.store)
        return how(judging, judge, messages, words)


def _settled(way: Way, judge: Policy, able: frozenset[Capability]) -> Way:
    """The way that is taken: the one asked for, or the surest that the model has."""
    possible = {
        Way.CHOICE: Capability.LOGPROBS in able,
        Way.FORM: Capability.SCHEMA in able,
        Way.WRITTEN: True,
    }
    if way is Way.AUTO:
        return next(one for one, can in possible.items() if can)
    if not possible[way]:
        problem = "cannot score given text" if way is Way.CHOICE else "cannot be held to a schema"
        raise BadInput("judge", judge.model, problem, remedy="let it write its verdicts")
    return way


def check_words(words: Sequence[str]) -> None:
    """BadInput unless there are two words or more, each on one line, none the beginning of another."""
    plain = [word.strip().casefold() for word in words]
    clash = any(a.startswith(b) for i, a in enumerate(plain) for j, b in enumerate(plain) if i != j)
    if len(words) < 2 or clash or not all(plain) or any("\n" in word for word in words):
        raise BadInput("words", list(words), "cannot be told apart", remedy="offer two or more plain words")


def final_field(reply: str, words: Sequence[str]) -> str | None:
    """The word in the last line of a reply, `Verdict: word`; None if it is anything else."""
    last = reply.strip().rpartition("\n")[2]
    field, _, said = last.partition(":")
    plain = said.strip(" \t").casefold() if field == FIELD else ""
    return next((word for word in words if word.casefold() == plain), None)


def quoted(text: str) -> str:
    """Foreign text with a mark before every line, so that none can pass for the judge's own.

    What looks like a special token of a chat form is broken up.
    """
    return "\n".join(f"> {line}" for line in re.sub(r"<(?=[|/\w])", "< ", text).splitlines() or [""])


def _written(
    judging: Judging, judge: Policy, messages: Sequence[Sequence[Message]], words: Sequence[str]
) -> list[Answer]:
    model = judging.models[judge.model]
    wanted = f"\nEnd with one line: {FIELD}: {' or '.join(words)}"
    replies = _replies(judging, judge, [_prompt(model, judge, one, wanted) for one in messages], None)
    return [_answer(reply, final_field(reply.text, words)) for reply in replies]


def _filled_in(
    judging: Judging, judge: Policy, messages: Sequence[Sequence[Message]], words: Sequence[str]
) -> list[Answer]:
    model = judging.models[judge.model]
    wanted = f"\nAnswer in JSON: your thoughts, then your verdict: {' or '.join(words)}"
    texts = [_prompt(model, judge, one, wanted) for one in messages]
    replies = _replies(judging, judge, texts, form_of(words))
    return [_answer(reply, verdict_in(reply.text, words)) for reply in replies]


def form_of(words: Sequence[str]) -> dict[str, JsonValue]:
    """The JSON schema of a verdict with the thoughts before it."""
    return {
        "type": "object",
        "properties": {"thoughts": {"type": "string"}, "verdict": {"type": "string", "enum": list(words)}},
        "required": ["thoughts", "verdict"],
        "additionalProperties": False,
    }


def verdict_in(reply: str, words: Sequence[str]) -> str | None:
    """The word in a filled-in form; None if it is none, whatever the endpoint promised."""
    try:
        form = json.loads(reply)
    except (ValueError, RecursionError):
        return None
    said = form.get("verdict") if isinstance(form, dict) else None
    return next((word for word in words if word == said), None)


def _replies(
    judging: Judging, judge: Policy, texts: Sequence[str], schema: Mapping[str, JsonValue] | None
) -> list[Completion]:
    how = Decoding(temperature=0.0, max_tokens=MOST_WORDS, stop=judge.prompt.stop if schema is None else ())
    prompts = [Prompt(text, (0,), schema=schema) for text in texts]
    replies = [done.samples[0] for done in judging.models[judge.model].sample(prompts, how)]
    judging.meter.add(Usage(sampled_tokens=sum(len(r.token_ids) for r in replies), model_calls=len(replies)))
    return replies


def _answer(reply: Completion, word: str | None) -> Answer:
    known = word is not None and reply.stop not in (Stop.LENGTH, Stop.FAILED)
    return Answer({word: 1.0} if word is not None and known else {}, reply.text.strip())


def _chosen(
    judging: Judging, judge: Policy, messages: Sequence[Sequence[Message]], words: Sequence[str]
) -> list[Answer]:
    model = judging.models[judge.model]
    wanted = f"\nAnswer with one word: {' or '.join(words)}"
    prompts = [model.encode(_prompt(model, judge, dialogue, wanted)) for dialogue in messages]
    gap = " " if judge.prompt.style is Style.PLAIN else ""
    replies = [model.encode_response(f"{gap}{word}") for word in words]
    rows = model.logprobs([(prompt, reply) for prompt in prompts for reply in replies])
    judging.meter.add(Usage(model_calls=len(rows)))
    sums = [sum(row) for row in rows]
    groups = [sums[start : start + len(words)] for start in range(0, len(sums), len(words))]
    return [Answer(dict(zip(words, _shares(group), strict=True))) for group in groups]


_WAYS = {Way.WRITTEN: _written, Way.CHOICE: _chosen, Way.FORM: _filled_in}


def _prompt(model: object, judge: Policy, dialogue: Sequence[Message], wanted: str) -> str:
    *head, last = dialogue
    asked = last.model_copy(update={"content": last.content + wanted})
    return render(model, judge, Task(messages=(*head, asked), answer=""))  # type: ignore[arg-type]


def _shares(logs: Sequence[float]) -> list[float]:
    top = max(logs)
    weights = [exp(value - top) for value in logs]
    return [weight / sum(weights) for weight in weights]
