"""Token ids to text and back, and stop texts: found by decoding only the tails that could hold one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt
from transformers import PreTrainedTokenizerBase

SLACK_TOKENS = 8
UNFINISHED = "\N{REPLACEMENT CHARACTER}"
Numbers = npt.NDArray[np.int64]


class Text:
    """Token ids to text and back, with special tokens never shown."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        """`tokenizer` belongs to the model."""
        self.tokenizer = tokenizer
        self._completing: dict[tuple[tuple[str, ...], int], npt.NDArray[np.bool_]] = {}

    def decode(self, ids: Sequence[int]) -> str:
        """Text of these tokens without special tokens."""
        return str(
            self.tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
        )

    def decode_all(self, rows: Sequence[Sequence[int]]) -> list[str]:
        """`decode` of many rows."""
        lists = [list(row) for row in rows]
        return list(
            self.tokenizer.batch_decode(lists, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        )

    def encode_prompt(self, text: str) -> tuple[int, ...]:
        """Ids of a prompt, begun as the tokenizer begins texts by default, once, and never ended."""
        start, end = self.tokenizer.bos_token, self.tokenizer.eos_token
        begun = start is not None and text.startswith(start)
        # Lengths are checked where prompts are used; transformers would print a warning of its own.
        ids = tuple(self.tokenizer(text, add_special_tokens=not begun, verbose=False).input_ids)
        ended = len(ids) > 1 and ids[-1] == self.tokenizer.eos_token_id and not text.endswith(end)
        return ids[:-1] if ended else ids

    def encode_response(self, text: str) -> tuple[int, ...]:
        """Ids of a text that continues another one: nothing is put before or after it.

        What looks like a special token is words: who writes `<eos>` must not be taught to end there.
        """
        encoded = self.tokenizer(text, add_special_tokens=False, split_special_tokens=True, verbose=False)
        return tuple(encoded.input_ids)

    def inert(self, text: str) -> str:
        """The text with every special token in it broken up, so that a chat form around it holds."""
        return self._special.sub(lambda found: f"{found[0][:1]} {found[0][1:]}", text)

    @cached_property
    def _special(self) -> re.Pattern[str]:
        known = {t.content for t in self.tokenizer.added_tokens_decoder.values() if t.special}
        longest = sorted(known | set(self.tokenizer.all_special_tokens), key=len, reverse=True)
        return re.compile("|".join(map(re.escape, longest)) or "(?!)")

    def completing(self, stops: tuple[str, ...], size: int) -> npt.NDArray[np.bool_]:
        """Mask [size]: tokens whose text holds the last character of a stop text, or part of a character."""
        if (stops, size) not in self._completing:
            last = {stop[-1] for stop in stops} | {UNFINISHED}
            mask = np.zeros(size, bool)
            texts = self.texts[:size]
            mask[: len(texts)] = [not last.isdisjoint(text) for text in texts]
            self._completing[stops, size] = mask
        return self._completing[stops, size]

    @cached_property
    def texts(self) -> list[str]:
        """What each token adds to a text; an anchor before it keeps a leading space."""
        anchor = self.encode_response("a")
        start = len(self.decode(anchor))
        lists = [(*anchor, token) for token in range(len(self.tokenizer))]
        return [text[start:] for text in self.decode_all(lists)]


class StopWatch:
    """Watches the rows of one batch for stop texts."""

    def __init__(self, text: Text, stops: tuple[str, ...], vocabulary: int) -> None:
        """No stop texts: nothing is ever found, at no cost."""
        self.text = text
        self.stops = stops
        self.tail = max((len(stop.encode()) for stop in stops), default=0) + SLACK_TOKENS
        self._suspects = text.completing(stops, vocabulary) if stops else None

    def found(self, drawn: Numbers, rows: Numbers, steps: Numbers) -> list[int]:
        """Which of the rows of `drawn` [batch, columns] have a stop text that ends at their step: places."""
        if self._suspects is None:
            return []
        places = self._suspects[drawn[rows, steps]].nonzero()[0].tolist()
        return [place for place in places if self._stops(drawn[rows[place]], int(steps[place]) + 1)]

    def _stops(self, row: Numbers, end: int) -> bool:
        text = self.text.decode(row[max(0, end - self.tail) : end].tolist())
        return any(stop in text for stop in self.stops)


def cut(text: str, stops: Sequence[str], start: int) -> str:
    """The text up to the first stop text that begins at or after `start`."""
    places = [place for stop in stops if (place := text.find(stop, start)) >= 0]
    return text[: min(places)] if places else text
