"""Whether what is learnt costs a skill that nothing rewards."""

from __future__ import annotations

LOSS = 0.3
"""Share of a skill whose loss is worth a word."""


def lost_skill(name: str, first: float, now: float) -> str | None:
    """A warning if a skill, measured the same way each time, fell by more than three tenths."""
    if now >= (1 - LOSS) * first:
        return None
    return f"{name} fell from {first:.0%} to {now:.0%}: what is learnt may cost other skills"
