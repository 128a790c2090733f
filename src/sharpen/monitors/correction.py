"""Two abilities behind a second answer: keeping what was right, and mending what was wrong.

For question i let p be the probability that the first answer is right, b and c those that the second one is
right after a right and after a wrong first one. Over all questions

    Acc1 = mean p,    Acc2 = mean [p b + (1 - p) c],
    CL = sum p b / sum p,    CS = sum (1 - p) c / sum (1 - p),    Acc2 = Acc1 CL + (1 - Acc1) CS,
    RSS = (Acc2 - Acc1^2) / (2 Acc1 (1 - Acc1)).

RSS is 0.5 where a second answer changes nothing on the whole; it lies in [0, 1] where CS <= Acc1 <= CL.
Decomposition after arXiv 2412.19513.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from math import isclose
from typing import NamedTuple

from sharpen.core.records import Record
from sharpen.monitors.exploration import RIGHT
from sharpen.monitors.flows import Flows, flows

TOLERANCE = 1e-9


class Chances(NamedTuple):
    """Probabilities of one question, each in [0, 1]; those of a condition that never occurs do not count."""

    first: float
    """p: the first answer is right."""
    kept: float
    """b: the second answer is right after a right first one."""
    mended: float
    """c: the second answer is right after a wrong first one."""


class Correction(Record):
    """What a second answer does to the first, over all questions."""

    acc1: float
    """Share of right first answers."""
    acc2: float
    """Share of right second answers."""
    cl: float | None
    """Confidence level: share of right first answers that are kept; None if there are none."""
    cs: float | None
    """Critique score: share of wrong first answers that are mended; None if there are none."""
    rss: float | None
    """Relative self-correction score; None if all or none of the first answers are right."""

    @property
    def numbers(self) -> dict[str, float]:
        """The known ones, by the names that people use."""
        named = {"Acc1": self.acc1, "Acc2": self.acc2, "CL": self.cl, "CS": self.cs, "RSS": self.rss}
        return {name: value for name, value in named.items() if value is not None}


def decompose(questions: Sequence[Chances]) -> Correction | None:
    """Confidence and critique, weighted by how often their conditions occur; None without questions.

    ValueError if a number is no probability.
    """
    if not all(0 <= chance <= 1 for question in questions for chance in question):
        raise ValueError("every chance must lie between 0 and 1")
    if not questions:
        return None
    n = len(questions)
    right, wrong = sum(q.first for q in questions), sum(1 - q.first for q in questions)
    kept = sum(q.first * q.kept for q in questions)
    mended = sum((1 - q.first) * q.mended for q in questions)
    acc1, acc2 = right / n, (kept + mended) / n
    cl, cs = (kept / right if right else None), (mended / wrong if wrong else None)
    assert isclose(acc2, acc1 * (cl or 0.0) + (1 - acc1) * (cs or 0.0), rel_tol=0, abs_tol=TOLERANCE)
    span = 2 * acc1 * (1 - acc1)
    rss = (acc2 - acc1**2) / span if span else None
    return Correction(acc1=acc1, acc2=acc2, cl=cl, cs=cs, rss=rss)


def from_samples(
    questions: Sequence[str], first: Sequence[float | None], second: Sequence[float | None]
) -> Correction | None:
    """From sampled pairs of answers to named questions, as aligned scores: chances are shares of a question.

    Pairs with an unknown score are left out. ValueError if lengths differ.
    """
    pairs: dict[str, list[tuple[bool, bool]]] = defaultdict(list)
    for question, one, two in zip(questions, first, second, strict=True):
        if one is not None and two is not None:
            pairs[question].append((one >= RIGHT, two >= RIGHT))
    return decompose([_shares(group) for group in pairs.values()])


def _shares(pairs: Sequence[tuple[bool, bool]]) -> Chances:
    after_right = [two for one, two in pairs if one]
    after_wrong = [two for one, two in pairs if not one]
    return Chances(len(after_right) / len(pairs), _mean(after_right), _mean(after_wrong))


def _mean(marks: Sequence[bool]) -> float:
    return sum(marks) / len(marks) if marks else 0.0


def from_labels(first: Sequence[float], second: Sequence[Sequence[float]], right: int) -> Chances:
    """Of a question with a closed set of L labels, by their probabilities: no sampling and no noise.

    `first` [L] is of the first answer; row j of `second` [L][L] is of the second one where the first was
    label j. ValueError if a shape is off or a row is no distribution.
    """
    rows = (first, *second)
    if len(second) != len(first) or any(len(row) != len(first) for row in rows):
        raise ValueError(f"{len(first)} labels need {len(first)} rows of as many second answers")
    if any(min(row) < 0 or not isclose(sum(row), 1, abs_tol=1e-6) for row in rows):
        raise ValueError("label probabilities must be at least 0 and add up to 1")
    wrong = [label for label in range(len(first)) if label != right]
    mass = sum(first[label] for label in wrong)
    mended = sum(first[label] * second[label][right] for label in wrong)
    return Chances(*map(_clipped, (1 - mass, second[right][right], mended / mass if mass else 0.0)))


def _clipped(chance: float) -> float:
    """Rounding may leave [0, 1] by a little."""
    return min(1.0, max(0.0, chance))


class Cells(NamedTuple):
    """Pairs of answers by what became of the first."""

    confident: int
    """Right, kept right."""
    unconfident: int
    """Right, made wrong."""
    critical: int
    """Wrong, mended."""
    stubborn: int
    """Wrong, still wrong."""


def cells(first: Sequence[float | None], second: Sequence[float | None]) -> Cells:
    """Count aligned scores; pairs with an unknown one are left out. ValueError if lengths differ."""
    counted: Flows = flows(first, second)
    return Cells(
        confident=counted.stayed_right,
        unconfident=counted.right_to_wrong,
        critical=counted.wrong_to_right,
        stubborn=counted.stayed_wrong,
    )
