"""Which tokens of a response carry loss, where not all of them do."""

from __future__ import annotations

from collections.abc import Sequence

from sharpen.learners.batch import Example


def divergence(left: Sequence[int], right: Sequence[int]) -> int:
    """Place of the first token at which two responses differ; the shorter one's length if none does."""
    both = zip(left, right, strict=False)
    return next((place for place, (a, b) in enumerate(both) if a != b), min(len(left), len(right)))


def after_text(ids: Sequence[int], texts: Sequence[str], marker: str) -> int:
    """Place of the first token after the last occurrence of a text; 0 where it does not occur.

    texts: what each token of the vocabulary adds to a text. A token that holds the marker's end and more is
    not after it.
    """
    ends: list[int] = []
    text = ""
    for token in ids:
        text += texts[token]
        ends.append(len(text))
    found = text.rfind(marker)
    if found < 0:
        return 0
    return next((place + 1 for place, end in enumerate(ends) if end >= found + len(marker)), len(ids))


def masked_before(example: Example, place: int) -> Example:
    """The example without loss on the response tokens before a place."""
    return example._replace(mask=(*(0.0 for _ in example.mask[:place]), *example.mask[place:]))
