"""Whether what is learnt is more than a form: answers that are well formed, and right no more often."""

from __future__ import annotations

from typing import NamedTuple

RISE = 0.2
"""Rise of the share of well-formed answers from which on it is asked what else rose."""


class Formed(NamedTuple):
    """Shares of answers."""

    formed: float
    """That have the wanted form."""
    right: float


def form_only(before: Formed, after: Formed) -> str | None:
    """A warning if form alone was learnt."""
    if after.formed - before.formed < RISE or after.right > before.right:
        return None
    return (
        f"answers have the wanted form more often ({before.formed:.0%} to {after.formed:.0%}), but are right "
        f"no more often ({before.right:.0%} to {after.right:.0%}): preferences may be satisfied by form alone"
    )
