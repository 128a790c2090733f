"""T8: what judges and engines fail to say is no zero, decides nothing, and changes nothing that is known."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from pydantic import JsonValue

from sharpen.core.ahead import Read
from sharpen.core.attempt import Attempt
from sharpen.core.gate import Decision, GateMode, GateReport, GateRule
from sharpen.core.journal import read_rows
from sharpen.core.records import decode
from sharpen.core.run import Run
from sharpen.core.seeds import random_for
from sharpen.core.stats import mean_interval
from sharpen.core.task import Task
from sharpen.core.verdict import Error, Verdict

sys.path.append(str(Path(__file__).parents[2] / "tests"))
from helpers_run import START, ToyVerifier, engine, loop, task_set

SHARES = (0.02, 0.1, 0.3, 1.0)
"""Of the verdicts that fail."""
RUNS = 10
VERSIONS = ("old", "new")


class Failing(ToyVerifier):
    """Fails on a share of the attempts; which ones follows from the attempts."""

    def __init__(self, share: float, seed: int) -> None:
        self.share, self.seed = share, seed

    def judge(self, pairs: Sequence[tuple[Task, Attempt]], read: Read) -> list[Verdict]:
        """Verdicts, or errors in their place."""
        verdicts = super().judge(pairs, read)
        chances = [random_for(self.seed, t.key, a.policy, a.index, a.response).random() for t, a in pairs]
        failed = Error(kind="timeout")
        return [failed if c < self.share else v for c, v in zip(chances, verdicts, strict=True)]


def problems(share: float, seed: int) -> list[str]:
    """What is not as it should be in one run with failing verdicts, both modes of the gate tried."""
    found = []
    for mode in GateMode:
        with TemporaryDirectory() as folder:
            made = engine(Path(folder), seed=seed, gate=mode)
            made.verifier = Failing(share, seed)
            final = loop(Run(made), task_set(val=40), START)
            scores = Run(made).evaluate(final, task_set(val=40).val, name="val")
            found += _means(scores.values)
            reports = [
                decode(GateReport, made.store.get(row.entry.blob))
                for row in read_rows(Path(folder))
                if row.entry.verb == "gate"
            ]
            made.journal.close()
            found += [text for report in reports for text in _decisions(report, mode)]
    return found


def _means(values: Sequence[float | None]) -> list[str]:
    known = [value for value in values if value is not None]
    mean = mean_interval(values).mean
    wanted = sum(known) / len(known) if known else None
    return [] if mean == wanted else [f"mean {mean}, of known ones {wanted}"]


def _decisions(report: GateReport, mode: GateMode) -> list[str]:
    poor = report.test.coverage < 0.95
    if poor and (report.decision is not Decision.UNDECIDED or report.p_value is not None):
        return [f"decided at coverage {report.test.coverage}"]
    if poor and report.adopted is not (mode is GateMode.OBSERVE):
        return ["adopted what is not known to be better"]
    return []


def same_decision(seed: int) -> list[str]:
    """The decision over scores with gaps is that over the scored tasks alone, or none if they are too few."""
    rng = random_for("same decision", seed)
    pairs = [(float(rng.random() < 0.4), float(rng.random() < 0.4 + rng.random() * 0.5)) for _ in range(200)]
    gaps = [tuple(None if rng.random() < 0.012 else score for score in pair) for pair in pairs]
    known = [pair for pair in gaps if None not in pair]
    rule = GateRule(mode=GateMode.ENFORCE)
    with_gaps, without = (
        rule.decide([b for b, _ in some], [a for _, a in some], versions=VERSIONS) for some in (gaps, known)
    )
    if len(known) / len(pairs) < rule.min_coverage:
        return _decisions(with_gaps, rule.mode)
    same = (with_gaps.decision, with_gaps.p_value) == (without.decision, without.p_value)
    return [] if same else [f"{with_gaps.reason} with gaps, {without.reason} without"]


def units() -> list[str]:
    """Names of all units."""
    return [*(f"{share:.0%} of verdicts fail" for share in SHARES), "decisions with gaps"]


def work(unit: str) -> dict[str, JsonValue]:
    """Some runs with failing verdicts, or many decisions with gaps."""
    if unit == "decisions with gaps":
        tried, found = 200, [text for seed in range(200) for text in same_decision(seed)]
    else:
        share = float(unit.partition("%")[0]) / 100
        tried, found = 2 * RUNS, [text for seed in range(RUNS) for text in problems(share, seed)]
    return {"tried": tried, "problems": found[:5], "ok": not found}


def table(rows: Mapping[str, Mapping[str, JsonValue]]) -> list[str]:
    """What was tried and what was wrong, in Markdown."""
    lines = ["| what | tried | wrong |", "|---|---|---|"]
    return lines + [f"| {unit} | {row['tried']} | {row['problems'] or 0} |" for unit, row in rows.items()]
