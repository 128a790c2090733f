"""What single tokens say, for models whose tokenizer lies on this machine; nothing is fetched or run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

from sharpen.core.attempt import Turn
from sharpen.models.packaged import PACKAGED, is_cached, packaged_folder
from sharpen.models.source import shipped, without_options

Texts = Callable[[Sequence[int]], list[str]]
"""Token ids -> what each adds to a text."""

_UNFINISHED = "\N{REPLACEMENT CHARACTER}"


def token_texts(model: str, turn: Turn, most: int) -> tuple[str, ...] | None:
    """What the first tokens of a turn say; None if that is not known, or does not give the turn's text."""
    texts = _texts_of(model)
    if texts is None or not turn.token_ids:
        return None
    found = texts(turn.token_ids[:most])
    joined, text = "".join(found).strip(), turn.text.strip()
    fits = joined.startswith(text) or text.startswith(joined) or _UNFINISHED in joined
    return tuple(found) if fits else None


@cache
def _texts_of(model: str) -> Texts | None:
    if model.startswith("scripted:"):
        return lambda ids: [chr(number) if number in range(0xD800) else _UNFINISHED for number in ids]
    file = (_folder(model) or Path()) / "tokenizer.json"
    return _read(file) if file.is_file() else None


def _folder(model: str) -> Path | None:
    model = without_options(model)
    if model in (known := shipped()):
        return known[model]
    if model in PACKAGED:
        return packaged_folder(model) if is_cached(model) else None
    return Path(model) if Path(model).is_absolute() else None


def _read(path: Path) -> Texts:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(path))
    # An anchor before a token keeps its leading space.
    anchor = tokenizer.encode("a", add_special_tokens=False).ids
    before = len(tokenizer.decode(anchor))

    def texts(ids: Sequence[int]) -> list[str]:
        return [text[before:] for text in tokenizer.decode_batch([[*anchor, number] for number in ids])]

    return texts
