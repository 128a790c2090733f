"""Asking a model a question with a closed set of answers, and reading nothing but the answer.

A written reply may think aloud; its verdict is the last line alone, `Verdict: yes`, and a reply without such
a line, with a word that is not on offer, or that was cut off, says nothing. A model that scores given text
is made to choose instead: each word's probability as the whole reply, over all words on offer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from math import exp
from typing import NamedTuple

from sharpen.core.attempt import Stop
from sharpen.core.budget import Usage
from sharpen.core.engine import Judging
from sharpen.core.errors import BadInput
from sharpen.core.policy import Decoding, Policy, Style
from sharpen.core.task import Message, Role, Task
from sharpen.models.base import Capability, Prompt
from sharpen.models.loading import load_policy, render

FIELD = "Verdict"
MOST_WORDS = 512
"""Tokens of a written reply at most."""


class Way(StrEnum):
    """How a judge answers."""

    AUTO = "auto"
    """It chooses where it can score given text, and writes elsewhere."""
    WRITTEN = "written"
    CHOICE = "choice"


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

    BadInput for words that cannot be told apart, or if the model must choose and cannot score given text.
    """
    check_words(words)
    model = judging.models[judge.model]
    scores = Capability.LOGPROBS in model.capabilities
    if way is Way.CHOICE and not scores:
        raise BadInput("judge", judge.model, "cannot score given text", remedy="let it write its verdicts")
    with judging.stopwatch:
        load_policy(model, judge, judging.store)
        if way is Way.WRITTEN or not scores:
            return _written(judging, judge, messages, words)
        return _chosen(judging, judge, messages, words)


def check_words(words: Sequence[str]) -> None:
    """BadInput unless there are two words or more, each on one line, none the beginning of another."""
    plain = [word.strip().casefold() for word in words]
    clash = any(a.startswith(b) for i, a in enumerate(plain) for j, b in enumerate(plain) if i != j)
    if len(words) < 2 or clash or not all(plain) or any("\n" in word for word in words):
        raise BadInput("words", list(words), "cannot be told apart", remedy="offer two or more plain words")


def final_field(reply: str, words: Sequence[str]) -> str | None:
    """The word in the last line of a reply, `Verdict: word`; None if it is anything else."""
    last = reply.strip().rpartition("\n")[2]
    found = re.fullmatch(rf"{FIELD}:[ \t]*(.{{1,80}}?)[ \t]*", last)
    said = found[1].casefold() if found else ""
    return next((word for word in words if word.casefold() == said), None)


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
    texts = [_prompt(model, judge, [*head, last], wanted) for *head, last in messages]
    how = Decoding(temperature=0.0, max_tokens=MOST_WORDS, stop=judge.prompt.stop)
    replies = [done.samples[0] for done in model.sample([Prompt(text, (0,)) for text in texts], how)]
    judging.meter.add(Usage(sampled_tokens=sum(len(r.token_ids) for r in replies), model_calls=len(replies)))
    found = [None if r.stop is Stop.LENGTH else final_field(r.text, words) for r in replies]
    return [
        Answer({} if w is None else {w: 1.0}, r.text.strip()) for w, r in zip(found, replies, strict=True)
    ]


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


def _prompt(model: object, judge: Policy, dialogue: Sequence[Message], wanted: str) -> str:
    *head, last = dialogue
    asked = Message(role=Role.USER, content=last.content + wanted)
    return render(model, judge, Task(messages=(*head, asked), answer=""))  # type: ignore[arg-type]


def _shares(logs: Sequence[float]) -> list[float]:
    top = max(logs)
    weights = [exp(value - top) for value in logs]
    return [weight / sum(weights) for weight in weights]
