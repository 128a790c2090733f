"""A model that follows a script: a function, a table or a named behaviour decides every response.

It makes the logic of a method testable in milliseconds. Token ids are character codes; a response is a
function of prompt and seed alone.
"""

from __future__ import annotations

import hashlib
import inspect
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from sharpen.core.attempt import Stop
from sharpen.core.dialogue import Tool
from sharpen.core.errors import BadInput, Unavailable
from sharpen.core.plugins import load
from sharpen.core.records import canonical, digest
from sharpen.core.seeds import random_for, seed_for
from sharpen.core.task import Message
from sharpen.models.base import Capability, Completion, Completions, Decoding, Prompt
from sharpen.models.calls import opening, read_calls

Script = Callable[[str, int], str]
"""(prompt text, seed) -> response text. May raise to play a failing model, or sleep to play a slow one."""

_LOGPROB_STEPS = 3_000


class ScriptedModel:
    """A test double for any model. Needs no weights; loading some only remembers which."""

    parameters = 0

    def __init__(
        self,
        script: Script | Mapping[str, str],
        *,
        name: str = "scripted",
        capabilities: frozenset[Capability] = frozenset(Capability) - {Capability.SCHEMA},
    ) -> None:
        """`script` is a function, or a table of prompt endings and their responses ("" if none fits)."""
        self._script = script if callable(script) else _table(script)
        self._name = name
        self._capabilities = capabilities
        self._identity = digest(["scripted", name, _source(script)])
        self.weights: Path | None = None
        self.calls: list[tuple[str, int]] = []
        """Every (prompt, seed) answered so far, in order."""

    @property
    def name(self) -> str:
        """What the user called it."""
        return self._name

    @property
    def fingerprint(self) -> str:
        """Hash of the name and the script's source."""
        return self._identity

    @property
    def capabilities(self) -> frozenset[Capability]:
        """As configured."""
        return self._capabilities

    def encode(self, text: str) -> tuple[int, ...]:
        """Character codes."""
        return tuple(map(ord, text))

    def decode(self, ids: Sequence[int]) -> str:
        """Text of character codes."""
        return "".join(map(chr, ids))

    def chat(self, messages: Sequence[Message], tools: Sequence[Tool] = ()) -> str:
        """Messages as `role: content` lines, behind one `function: NAME` for each that may be called."""
        offered = [f"function: {tool.name}\n" for tool in tools]
        return "".join([*offered, *(f"{message.role}: {message.content}\n" for message in messages)])

    def opening(self, tools: Sequence[Tool]) -> str | None:
        """How a response begins that calls one of the functions."""
        return opening(tools)

    def sample(self, prompts: Sequence[Prompt], decoding: Decoding) -> list[Completions]:
        """Ask the script once per seed. Temperature 0 asks with seed 0, so that greedy has one answer."""
        return [
            Completions(
                self.encode(prompt.text),
                tuple(
                    self._complete(prompt, seed if decoding.temperature else 0, decoding)
                    for seed in prompt.seeds
                ),
            )
            for prompt in prompts
        ]

    def logprobs(self, pairs: Sequence[tuple[tuple[int, ...], tuple[int, ...]]]) -> list[tuple[float, ...]]:
        """Made-up log-probabilities between -3 and 0 that depend on the text alone."""
        return [
            tuple(_logprob(prompt, response[: i + 1]) for i in range(len(response)))
            for prompt, response in pairs
        ]

    def load(self, weights: Path | None) -> None:
        """Remember which weights were asked for."""
        self.weights = weights

    def _complete(self, prompt: Prompt, seed: int, decoding: Decoding) -> Completion:
        self.calls.append((prompt.text, seed))
        text, stop = _limited(self._script(prompt.text + prompt.prefix, seed), decoding)
        ids = self.encode(prompt.prefix + text)
        known = Capability.LOGPROBS in self._capabilities
        logprobs = self.logprobs([(self.encode(prompt.text), ids)])[0] if known else None
        words, calls = read_calls(prompt.prefix + text, prompt.tools)
        return Completion(words, ids, logprobs, stop, calls)


def _limited(text: str, decoding: Decoding) -> tuple[str, Stop]:
    """Cut at the first stop text, then at the token limit."""
    places = [place for stop in decoding.stop if (place := text.find(stop)) >= 0]
    cut, stop = (text[: min(places)], Stop.STOP_TEXT) if places else (text, Stop.END)
    if len(cut) > decoding.max_tokens:
        return cut[: decoding.max_tokens], Stop.LENGTH
    return cut, stop


def _logprob(prompt: tuple[int, ...], response: tuple[int, ...]) -> float:
    return -(seed_for(prompt[-8:], response[-8:]) % _LOGPROB_STEPS) / 1000


def _table(table: Mapping[str, str]) -> Script:
    def look_up(prompt: str, seed: int) -> str:
        fitting = [key for key in table if prompt.endswith(key)]
        return table[max(fitting, key=len)] if fitting else ""

    return look_up


def _source(script: Script | Mapping[str, str]) -> str:
    if not callable(script):
        return canonical(dict(script)).decode()
    try:
        return hashlib.sha256(inspect.getsource(script).encode()).hexdigest()
    except (OSError, TypeError):
        return getattr(script, "__qualname__", type(script).__qualname__)


def echo(prompt: str, seed: int) -> str:
    """Answer with the last line of the prompt."""
    return (prompt.strip().splitlines() or [""])[-1]


def digits(prompt: str, seed: int) -> str:
    """Answer with a random number from 0 to 9, in the form of a worked solution."""
    return f"#### {random_for('digits', prompt, seed).randrange(10)}"


def silent(prompt: str, seed: int) -> str:
    """Answer with nothing."""
    return ""


def endless(prompt: str, seed: int) -> str:
    """Never come to an end: the token limit cuts every answer."""
    return "and so on " * 10_000


def malformed(prompt: str, seed: int) -> str:
    """Answer with control characters, broken characters, format fields and markup."""
    pieces = [
        "\x00",
        "\x1b[2J",
        "\ufffd",
        "{0.__class__}",
        "%s%n",
        "[bold]",
        "<script>",
        "####",
        "1e999",
        "\u202e",
    ]
    random_for("malformed", prompt, seed).shuffle(pieces)
    return "".join(pieces)


def slow(prompt: str, seed: int) -> str:
    """Take a tenth of a second, then answer as `digits`."""
    time.sleep(0.1)
    return digits(prompt, seed)


def failing(prompt: str, seed: int) -> str:
    """Be unreachable."""
    raise Unavailable("the scripted model plays dead", remedy="use another script")


SCRIPTS: Mapping[str, Script] = {
    script.__name__: script for script in (echo, digits, silent, endless, malformed, slow, failing)
}


_UNTRAINED = frozenset(Capability) - {Capability.SCHEMA, Capability.TRAIN}


def open_scripted(which: str) -> ScriptedModel:
    """Model of a named behaviour (`digits`), or of a function of one's own (`file.py:function`).

    It has no weights: recipes that train are refused before they start.
    """
    if ".py:" in which:
        path, _, function = which.rpartition(":")
        script = getattr(load("sharpen.models", path, kind="script"), function, None)
        if not callable(script):
            raise BadInput("script", which, f"{path} has no function {function}", remedy="check the name")
        return ScriptedModel(script, name=f"scripted:{which}", capabilities=_UNTRAINED)
    if which not in SCRIPTS:
        remedy = f"one of: {', '.join(SCRIPTS)}, or file.py:function"
        raise BadInput("script", which, "there is no such script", remedy=remedy)
    return ScriptedModel(SCRIPTS[which], name=f"scripted:{which}", capabilities=_UNTRAINED)
