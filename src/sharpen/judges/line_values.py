"""What each line of a response is worth: the share of continuations from its end that turn out right.

Monte Carlo labels for step scores (arXiv 2312.08935), which a reward model then learns pointwise. The lines
so far are put to the model as text again, so they count among the tokens of the continuations.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from statistics import fmean

from sharpen.core.attempt import Attempt, Author, Turn
from sharpen.core.policy import Policy
from sharpen.core.run import Scope
from sharpen.core.task import Task
from sharpen.core.verdict import Verdict, value_of
from sharpen.curation.rated import Rated, Ratings
from sharpen.learners.reward_rows import line_starts


def rate_lines(
    it: Scope,
    policy: Policy,
    attempts: Sequence[Attempt],
    tasks: Sequence[Task],
    verdicts: Sequence[Verdict],
    *,
    samples: int,
) -> Ratings:
    """Attempts of one turn with the worth of each of their lines; the last one's is the verdict's value.

    Attempts with an unknown value anywhere are left out. The policy's model must take tokens (see `go_on`).
    """
    starts = [(place, text) for place, a in enumerate(attempts) for text in line_starts(a)]
    begun = [
        _begun(attempts[place], text, number * samples + sample)
        for number, (place, text) in enumerate(starts)
        for sample in range(samples)
    ]
    ends = it.go_on(policy, begun, tasks) if begun else ()
    values = list(map(value_of, it.judge(ends, tasks)))
    found: dict[int, list[float | None]] = defaultdict(list)
    for number, (place, _) in enumerate(starts):
        known = [value for value in values[number * samples : (number + 1) * samples] if value is not None]
        found[place].append(fmean(known) if known else None)
    rows = [(a, (*found[i], value_of(v))) for i, (a, v) in enumerate(zip(attempts, verdicts, strict=True))]
    return Ratings(items=tuple(Rated(attempt=a, values=kept) for a, row in rows if (kept := _whole(row))))


def _begun(attempt: Attempt, text: str, index: int) -> Attempt:
    """The attempt cut after these lines; its index makes its continuation's chance its own."""
    first = next(i for i, turn in enumerate(attempt.turns) if turn.author is Author.POLICY)
    turns = (*attempt.turns[:first], Turn(author=Author.POLICY, text=text))
    return attempt.model_copy(update={"turns": turns, "index": index})


def _whole(values: Sequence[float | None]) -> tuple[float, ...]:
    """The values if all are known, else none."""
    known = tuple(value for value in values if value is not None)
    return known if len(known) == len(values) else ()
