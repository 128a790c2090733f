"""How widely a policy still explores: pass@k, variety, entropy, length, read off one round's attempts."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence

from sharpen.core.attempt import Attempt, Author, Stop
from sharpen.core.records import Record
from sharpen.core.stats import pass_at_k
from sharpen.core.verdict import Verdict, value_of

RIGHT = 1.0
"""Scores from here on count as right."""

Extract = Callable[[str], str | None]
"""Takes the answer out of a response; None if there is none."""


class Exploration(Record):
    """Variety and success of the groups of one round. Means are over tasks, shares over attempts."""

    tasks: int
    attempts: int
    coverage: float
    """Share of attempts whose verdict is known; errors enter no pass rate."""
    pass_at_1: float | None
    """Chance that one attempt is right; None if no verdict is known."""
    pass_at_k: float | None
    """Chance that one of k attempts is right, over the tasks with at least k known verdicts."""
    k: int
    """The most common group size, the larger one of equals."""
    distinct_answers: float | None
    """Different answers per task; attempts without an answer do not count."""
    distinct_responses: float | None
    """Different responses per attempt of a task: 1 if no two are equal."""
    entropy: float | None
    """Mean of -log p (nats) of the sampled tokens: an estimate of the entropy per token at the sampling
    temperature; None if the model gave no log-probabilities."""
    length: float | None
    """Tokens per response."""
    cut: float | None
    """Share of responses that the token limit cut."""
    no_answer: float | None
    """Share of responses without an answer."""


def explore(attempts: Sequence[Attempt], verdicts: Sequence[Verdict], extract: Extract) -> Exploration:
    """Measure aligned attempts and verdicts of one round. ValueError if they differ in number."""
    groups: dict[str, list[tuple[Attempt, float | None, str | None]]] = defaultdict(list)
    for attempt, verdict in zip(attempts, verdicts, strict=True):
        groups[attempt.task].append((attempt, value_of(verdict), extract(attempt.response)))
    rows = [row for group in groups.values() for row in group]
    known = [[value >= RIGHT for _, value, _ in group if value is not None] for group in groups.values()]
    k = _common_size(map(len, groups.values()))
    return Exploration(
        tasks=len(groups),
        attempts=len(rows),
        coverage=_mean([value is not None for _, value, _ in rows]) or 0.0,
        pass_at_1=_pass_rate(known, 1),
        pass_at_k=_pass_rate(known, k),
        k=k,
        distinct_answers=_mean(
            [len({answer for *_, answer in group if answer is not None}) for group in groups.values()]
        ),
        distinct_responses=_mean(
            [len({attempt.response for attempt, *_ in group}) / len(group) for group in groups.values()]
        ),
        entropy=_entropy(attempts),
        length=_mean([attempt.token_count for attempt in attempts]),
        cut=_mean([attempt.stop is Stop.LENGTH for attempt in attempts]),
        no_answer=_mean([answer is None for *_, answer in rows]),
    )


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _common_size(sizes: Iterable[int]) -> int:
    counts = Counter(sizes)
    return max(counts, key=lambda size: (counts[size], size), default=0)


def _pass_rate(known: Sequence[Sequence[bool]], k: int) -> float | None:
    return _mean([pass_at_k(len(marks), sum(marks), k) for marks in known if 0 < k <= len(marks)])


def _entropy(attempts: Sequence[Attempt]) -> float | None:
    return _mean(
        [
            -logprob
            for attempt in attempts
            for turn in attempt.turns
            if turn.author is Author.POLICY
            for logprob in turn.logprobs or ()
        ]
    )
