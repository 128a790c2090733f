"""Alarms for loops that feed on themselves: one answer for all, one draw for all, length for reward.

Each round's attempts are compared with the first round's. The limits are wide: a policy that learns becomes
surer and its answers change in length; what is looked for goes much further. Every alarm sounds once.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from statistics import fmean
from typing import NamedTuple

from sharpen.core.run import Scope
from sharpen.core.verdict import value_of
from sharpen.core.watch import Judged, Watcher
from sharpen.monitors.exploration import Exploration, explore

FEWEST_TASKS = 8
"""With fewer tasks in a round nothing is said."""
ONE_ANSWER = 0.5
"""Share of one answer over different tasks: twice that among the references and at the start, too."""
PAID = 0.5
"""An answer that scores less is wrong, not paid for."""
SAME_DRAW = 0.5
"""Different responses of a task fall below this share of what they were ..."""
SURE = 0.3
"""... and entropy below this share of what it was, while the policy is right less often than `SOLVED`."""
SOLVED = 0.9
LONGER = 1.5
"""Length grew, or shrank, by this factor ..."""
FOLLOWS = 0.7
"""... and within a round, score and length are correlated as strongly as this."""
LONGEST_WORD = 96
"""Characters at the end of a response among which its last word is looked for."""


class State(NamedTuple):
    """What a round looked like."""

    explored: Exploration
    one_answer: float
    """Share of the most common ending over tasks, the most common one of each task counted."""
    pays: float
    """Mean known score of the attempts with that ending; 0 if none is known."""
    among_references: float
    """Share of the most common reference answer."""
    score_by_length: float
    """Correlation of score and length over attempts; 0 where either is constant."""


def state_of(judged: Sequence[Judged]) -> State | None:
    """Measure a round; None if it says too little."""
    pairs = [(a, v) for part in judged for a, v in zip(part.attempts, part.verdicts, strict=True)]
    by_key = {task.key: task for part in judged for task in part.tasks}
    said: defaultdict[str, list[str]] = defaultdict(list)
    worth: defaultdict[str, list[float]] = defaultdict(list)
    known: list[tuple[float, float]] = []
    for attempt, verdict in pairs:
        ending, value = _ending(attempt.response), value_of(verdict)
        said[attempt.task].append(ending)
        if value is not None:
            worth[ending].append(value)
            known.append((float(attempt.token_count), value))
    if len(said) < FEWEST_TASKS:
        return None
    answer, share = _commonest([_commonest(some)[0] for some in said.values()])
    return State(
        explored=explore([a for a, _ in pairs], [v for _, v in pairs], lambda response: response),
        one_answer=share,
        pays=fmean(worth[answer] or [0.0]),
        among_references=_commonest([_ending(by_key[key].answer) for key in said])[1],
        score_by_length=correlation([n for n, _ in known], [value for _, value in known]),
    )


def _ending(text: str) -> str:
    """The last word, which stands for an answer however it is introduced."""
    return (text[-LONGEST_WORD:].split() or [""])[-1].casefold().strip(".")


def _commonest(words: Sequence[str]) -> tuple[str, float]:
    [(word, count)] = Counter(words).most_common(1)
    return word, count / len(words)


def alarms(first: State, now: State) -> dict[str, str]:
    """What has collapsed since the first round, by name."""
    found = {
        "answers": _one_answer(first, now),
        "draws": _one_draw(first.explored, now.explored),
        "length": _length(first, now),
    }
    return {name: text for name, text in found.items() if text}


def _one_answer(first: State, now: State) -> str | None:
    often = max(ONE_ANSWER, 2 * first.one_answer, 2 * now.among_references)
    if now.one_answer < often or now.pays < PAID:
        return None
    return (
        f"{now.one_answer:.0%} of the tasks get one and the same answer, which scores {now.pays:.0%} and is "
        f"the reference of at most {now.among_references:.0%}: it may be paid for everywhere"
    )


def _one_draw(first: Exploration, now: Exploration) -> str | None:
    before, after = first.distinct_responses, now.distinct_responses
    if not before or after is None or now.k < 2 or after >= SAME_DRAW * before:
        return None
    surer = first.entropy is None or now.entropy is None or now.entropy < SURE * first.entropy
    if not surer or (now.pass_at_1 or 0.0) >= SOLVED:
        return None
    return (
        f"different responses to a task fell from {before:.0%} to {after:.0%} while "
        f"{now.pass_at_1 or 0.0:.0%} are right: the policy repeats itself, and has little left to learn from"
    )


def _length(first: State, now: State) -> str | None:
    before, after = first.explored.length or 0.0, now.explored.length or 0.0
    if not before or not after or max(after / before, before / after) < LONGER:
        return None
    grew = after > before
    if (now.score_by_length if grew else -now.score_by_length) < FOLLOWS:
        return None
    return (
        f"responses went from {before:.0f} to {after:.0f} tokens, and scores follow length "
        f"(correlation {now.score_by_length:.2f}): the reward may be length itself"
    )


def correlation(xs: Sequence[float], ys: Sequence[float]) -> float:
    """Pearson's; 0 if either does not vary."""
    n = len(xs)
    mean_x, mean_y = (sum(xs) / n, sum(ys) / n) if n else (0.0, 0.0)
    covariance = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True))
    spread = sum((x - mean_x) ** 2 for x in xs) * sum((y - mean_y) ** 2 for y in ys)
    return covariance / spread**0.5 if spread > 0 else 0.0


class CollapseWatch(Watcher):
    """Warns in the round in which a collapse is first seen."""

    def __init__(self) -> None:
        self._first: State | None = None
        self._sounded: set[str] = set()

    def round_ended(self, it: Scope, judged: Sequence[Judged]) -> None:
        """Compare the round with the first one."""
        now = state_of(judged)
        if now is None or self._first is None:
            self._first = now
            return
        for name, text in alarms(self._first, now).items():
            if name not in self._sounded:
                self._sounded.add(name)
                it.warn(text)
