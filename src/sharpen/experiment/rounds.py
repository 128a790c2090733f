"""Rounds of a run, read off its journal."""

from __future__ import annotations

import re
from collections import ChainMap, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sharpen.core.artifact import ArtifactStore
from sharpen.core.attempt import Attempt
from sharpen.core.budget import Purpose, Usage
from sharpen.core.engine import Engine
from sharpen.core.gate import GateReport
from sharpen.core.journal import Entry
from sharpen.core.records import decode
from sharpen.core.stats import Interval, mean_interval
from sharpen.core.updater import Updated
from sharpen.core.verdict import Verdict, value_of
from sharpen.experiment.result import Round
from sharpen.monitors.exploration import Exploration, explore
from sharpen.verifiers.source import OpenVerifier

_ROUND = re.compile(r"round\.(\d+)/(?:(attempt|judge|update|gate)(?:/\d+)?|(measure)(?:~\d+)?)$")


class Steps:
    """Finished steps by key, with the store that holds their results."""

    def __init__(self, entries: Iterable[Entry], store: ArtifactStore) -> None:
        self.by_key: Mapping[str, Entry] = {entry.key: entry for entry in entries}
        self.store = store

    @classmethod
    def of(cls, engine: Engine) -> Steps:
        """Those of a run that is open."""
        return cls((row.entry for row in engine.journal), engine.store)

    def load(self, entries: Iterable[Entry], kind: Any) -> list[Any]:
        """Results of steps."""
        return [decode(kind, self.store.get(entry.blob)) for entry in entries]


def rounds_of(steps: Steps, verifier: OpenVerifier | None) -> tuple[Round, ...]:
    """What happened in each round of the outermost loop; without a verifier no answers are compared."""
    entries: dict[int, dict[str, list[Entry]]] = defaultdict(lambda: defaultdict(list))
    usage: dict[int, Usage] = {}
    spent = Usage()
    for entry in steps.by_key.values():
        spent = spent + entry.usage if entry.purpose is Purpose.METHOD else spent
        if found := _ROUND.match(entry.key):
            number = int(found[1])
            entries[number][found[2] or found[3]].append(entry)
            usage[number] = spent
    return tuple(_round(steps, verifier, n, entries[n], usage[n]) for n in sorted(entries))


def _round(
    steps: Steps, verifier: OpenVerifier | None, number: int, found: dict[str, list[Entry]], spent: Usage
) -> Round:
    attempts = [item for part in steps.load(found["attempt"], tuple[Attempt, ...]) for item in part]
    verdicts = [item for part in steps.load(found["judge"], tuple[Verdict, ...]) for item in part]
    gates: list[GateReport] = steps.load(found["gate"], GateReport)
    updates: list[Updated] = steps.load(found["update"], Updated)
    report = gates[-1] if gates else None
    adopted = None if report is None else report.candidate if report.adopted else report.incumbent
    return Round(
        round=number,
        exploration=_exploration(attempts, verdicts, verifier),
        val=val_score(steps, adopted),
        gate=report,
        learner=updates[-1].report if updates else {},
        measures=dict(ChainMap(*steps.load(found["measure"], dict[str, float]))),
        usage=spent,
    )


def _exploration(
    attempts: list[Attempt], verdicts: list[Verdict], verifier: OpenVerifier | None
) -> Exploration | None:
    if not attempts or len(attempts) != len(verdicts):
        return None
    if verifier is None:
        unread = explore(attempts, verdicts, lambda response: None)
        return unread.model_copy(update={"distinct_answers": None, "no_answer": None})
    return explore_with(verifier, attempts, verdicts)


def explore_with(
    verifier: OpenVerifier, attempts: Sequence[Attempt], verdicts: Sequence[Verdict]
) -> Exploration:
    """Exploration with the verifier's own reading of answers, taken in one go."""
    responses = [attempt.response for attempt in attempts]
    answers = dict(zip(responses, verifier.extract_many(responses), strict=True))
    return explore(attempts, verdicts, answers.get)


def warnings_of(steps: Steps) -> tuple[str, ...]:
    """What the run's monitors warned of, and where in the loop."""
    found = [entry for entry in steps.by_key.values() if entry.verb == "warn"]
    places = [entry.key.rpartition("/")[0] or "run" for entry in found]
    texts = steps.load(found, str)
    return tuple(f"warning ({place}): {text}" for place, text in zip(places, texts, strict=True))


def val_score(steps: Steps, version: str | None) -> Interval | None:
    """A policy's score on the validation tasks, if it was measured."""
    prefix = f"evaluate/val/{version}/judge/"
    verdicts: list[Verdict] = []
    number = 0
    while entry := steps.by_key.get(f"{prefix}{number}"):
        verdicts += decode(tuple[Verdict, ...], steps.store.get(entry.blob))
        number += 1
    known = [value for value in map(value_of, verdicts) if value is not None]
    return mean_interval(known) if known else None


def best_on_val(steps: Steps) -> str:
    """Version of the policy with the highest validation score; the earliest of equals."""
    versions: dict[str, None] = {}
    for key in steps.by_key:
        if key.startswith("evaluate/val/"):
            versions.setdefault(key.split("/")[2])
    return max(versions, key=lambda version: _mean(val_score(steps, version)))


def _mean(score: Interval | None) -> float:
    return -1.0 if score is None or score.mean is None else score.mean
