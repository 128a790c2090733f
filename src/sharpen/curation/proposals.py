"""Tasks that a policy writes after examples: how it is asked, and which of them are kept."""

from __future__ import annotations

import random
from collections.abc import Sequence

from sharpen.core.attempt import Attempt, Stop
from sharpen.core.task import Task
from sharpen.tasks.duplicates import clusters

REQUEST = "Write one more like these:"
MOST_WORDS = 150
FOREIGN = ("http://", "https://", "www.", "Instruction:", "Input:", "Q:", "A:")
"""What no proposal may hold: addresses, and the beginnings of other turns."""


def requests(seeds: Sequence[str], rng: random.Random, *, count: int, shown: int) -> tuple[Task, ...]:
    """So many requests for a task, each after `shown` different examples."""
    texts = ["\n".join((REQUEST, *rng.sample(seeds, min(shown, len(seeds))))) for _ in range(count)]
    return tuple(Task.ask(text, "") for text in texts)


def proposed(attempts: Sequence[Attempt], earlier: Sequence[str]) -> tuple[str, ...]:
    """What was written, without what breaks a rule or says the same as a text before it or an earlier one."""
    written = [a.response.strip() for a in attempts if a.stop is not Stop.LENGTH and acceptable(a.response)]
    places = clusters([*earlier, *written])
    return tuple(text for n, text in enumerate(written, len(earlier)) if places[n] == n)


def acceptable(text: str) -> bool:
    """Whether a text is one line of at most 150 words, begins with a word, and holds nothing foreign."""
    line = text.strip()
    words = len(line.split())
    plain = line[:1].isascii() and line[:1].isalnum() and "\n" not in line
    return plain and 0 < words <= MOST_WORDS and not any(sign in line for sign in FOREIGN)
