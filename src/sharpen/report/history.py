"""What can be read off a run's journal while it runs and after: rounds, flows, examples, trees, lineage."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from sharpen.core.artifact import Artifact, ArtifactStore, Kind
from sharpen.core.attempt import Attempt
from sharpen.core.budget import Purpose, Timing, Usage
from sharpen.core.errors import SharpenError
from sharpen.core.journal import Row, read_rows
from sharpen.core.records import decode
from sharpen.core.stats import Interval
from sharpen.core.updater import Updated
from sharpen.core.verdict import Verdict, value_of
from sharpen.experiment.manifest import Manifest
from sharpen.experiment.result import Result, Round
from sharpen.experiment.rounds import Steps, rounds_of, val_score, warnings_of
from sharpen.experiment.show import ShownTree, judged_in, read_result, trees_in
from sharpen.monitors.flows import flows
from sharpen.report.charts.decisions import Move
from sharpen.report.charts.graphs import Born, Grown
from sharpen.report.charts.spending import Worked
from sharpen.stores.memory import Memory

_EVALUATED = re.compile(r"evaluate/(?P<name>.+)/(?P<version>[0-9a-f]{16})/(?P<verb>judge|attempt)/\d+$")
"""Chunks of an evaluation; those of steps that are nested in it do not match."""


class Tried(NamedTuple):
    """An attempt of an evaluation with its verdict; None where a procedure of several steps made it."""

    attempt: Attempt | None
    verdict: Verdict


class Example(NamedTuple):
    """A task whose score changed."""

    task: str
    before: Tried
    after: Tried


@dataclass(frozen=True)
class History:
    """A run as read from its folder, which is not touched."""

    folder: Path
    manifest: Manifest
    rows: tuple[Row, ...]
    result: Result | None
    store: ArtifactStore

    def load(self, blob: str, kind: Any) -> Any:
        """A stored result."""
        return decode(kind, self.store.get(blob))

    @cached_property
    def steps(self) -> Steps:
        """Finished steps by key."""
        return Steps((row.entry for row in self.rows), self.store)

    @cached_property
    def rounds(self) -> tuple[Round, ...]:
        """The rounds so far. Answers are compared only in finished runs, whose verifier has read them."""
        return self.result.rounds if self.result else rounds_of(self.steps, None)

    @cached_property
    def versions(self) -> tuple[str, ...]:
        """Policies that were scored on validation tasks, in order."""
        found = (match for row in self.rows if (match := _EVALUATED.match(row.entry.key)))
        return tuple(dict.fromkeys(m["version"] for m in found if m["name"].split("/")[0] == "val"))

    @cached_property
    def start(self) -> str | None:
        """Version of the policy that the method began with, once it is known."""
        gates = (item.gate for item in self.rounds if item.gate)
        first = next((gate.incumbent for gate in gates), None)
        tested = [version for name, version in self.evaluations if name == "test"]
        return tested[0] if tested else first or (self.versions[0] if self.versions else None)

    @cached_property
    def base_val(self) -> Interval | None:
        """Validation score of that policy."""
        if self.result:
            return self.result.base_val
        return val_score(self.steps, self.start)

    @cached_property
    def evaluations(self) -> dict[tuple[str, str], tuple[Tried, ...]]:
        """(Name of the set, version of the policy) -> its attempts and verdicts, in order of the tasks."""
        verdicts: dict[tuple[str, str], list[Verdict]] = defaultdict(list)
        attempts: dict[tuple[str, str], list[Attempt]] = defaultdict(list)
        for row in self.rows:
            if match := _EVALUATED.match(row.entry.key):
                place = match["name"], match["version"]
                if match["verb"] == "judge":
                    verdicts[place] += self.load(row.entry.blob, tuple[Verdict, ...])
                else:
                    attempts[place] += self.load(row.entry.blob, tuple[Attempt, ...])
        return {place: _paired(attempts[place], judged) for place, judged in verdicts.items()}

    def scores(self, name: str, version: str | None) -> list[float | None]:
        """Per-task scores of a policy on a set; empty if it was not scored there."""
        tried = self.evaluations.get((name, version or ""), ())
        return [value_of(item.verdict) for item in tried]

    @cached_property
    def moves(self) -> tuple[Move, ...]:
        """Flows on validation tasks from the policy of one round to that of the next."""
        standing = self.scores("val", self.start)
        found = []
        for item in self.rounds:
            new = self.scores("val", _standing(item))
            if new and len(new) == len(standing):
                found.append(Move(round=item.round, flows=flows(standing, new)))
                standing = new
        return tuple(found)

    @cached_property
    def examples(self) -> tuple[Example, ...]:
        """Tasks whose score changed between the first and the last policy: of the test once it is open."""
        name = "test" if self.result else "val"
        last = self.result.policy if self.result else next(reversed(self.versions), None)
        ends = (self.evaluations.get((name, version or ""), ()) for version in (self.start, last))
        both = zip(*ends, strict=False)
        return tuple(
            Example(shown.attempt.task if shown.attempt else str(at), old, new)
            for at, (old, new) in enumerate(both)
            for shown in (new if new.attempt else old,)
            if value_of(old.verdict) != value_of(new.verdict)
        )

    @cached_property
    def trees(self) -> tuple[ShownTree, ...]:
        """All search trees."""
        return tuple(trees_in(self.rows, self.store))

    @cached_property
    def warnings(self) -> tuple[str, ...]:
        """What the run's monitors warned of."""
        return warnings_of(self.steps)

    @cached_property
    def used(self) -> dict[Purpose, Usage]:
        """Use of resources by account."""
        total = {purpose: Usage() for purpose in Purpose}
        for row in self.rows:
            total[row.entry.purpose] = total[row.entry.purpose] + row.entry.usage
        return total

    @cached_property
    def worked(self) -> tuple[Worked, ...]:
        """Time by verb and account."""
        times: dict[tuple[str, Purpose], list[Timing]] = defaultdict(list)
        for row in self.rows:
            times[row.entry.verb, row.entry.purpose].append(row.wall.timing)
        return tuple(
            Worked(verb=verb, purpose=purpose, steps=len(all_of), timing=sum(all_of, start=Timing()))
            for (verb, purpose), all_of in times.items()
        )

    @cached_property
    def updates(self) -> tuple[tuple[str, Updated], ...]:
        """Place and result of every update, in order."""
        return tuple(
            (row.entry.key, self.load(row.entry.blob, Updated))
            for row in self.rows
            if row.entry.verb == "update"
        )

    @cached_property
    def born(self) -> tuple[Born, ...]:
        """Every policy of the run, parents before children; the one it began with comes first."""
        made = {
            version: (key, _parents(update))
            for key, update in self.updates
            for version in (update.policy.version,)
        }
        roots = [v for v in dict.fromkeys((self.start, *self.versions)) if v and v not in made]
        adopted = {_standing(item) for item in self.rounds if item.gate}
        final = self.result.policy if self.result else None

        def of(version: str, place: str, parents: Sequence[str]) -> Born:
            score, tasks = self._judged(version)
            standing = (
                "kept" if version == final else "start" if version == self.start
                else "adopted" if version in adopted else "tried"
            )  # fmt: skip
            return Born(
                version=version,
                parents=tuple(parents),
                place=place,
                score=score,
                tasks=tasks,
                standing=standing,
            )

        return (
            *(of(version, "start", ()) for version in roots),
            *(of(version, key, parents) for version, (key, parents) in made.items()),
        )

    @cached_property
    def _held(self) -> dict[str, list[float]]:
        """Version -> known scores on validation tasks."""
        found: dict[str, list[float]] = defaultdict(list)
        for (name, version), tried in self.evaluations.items():
            if name.split("/")[0] == "val":
                found[version] += _known(item.verdict for item in tried)
        return found

    @cached_property
    def _trained(self) -> dict[str, list[float]]:
        """Version -> known scores of all its judged attempts that stand outside of evaluations."""
        found: dict[str, list[float]] = defaultdict(list)
        for item in judged_in(self.rows, self.store):
            if item.verdict is not None and not item.step.startswith("evaluate/"):
                found[item.attempt.policy] += _known([item.verdict])
        return found

    def _judged(self, version: str) -> tuple[float | None, int]:
        values = self._held.get(version) or self._trained.get(version, [])
        return (sum(values) / len(values) if values else None), len(values)

    @cached_property
    def grown(self) -> tuple[Grown, ...]:
        """Sizes of what policies are made of besides weights, after every update that changed them.

        Only of updates that led to the last policy, if there are several; else of all.
        """
        line = self._ancestry()
        led = [(key, updated) for key, updated in self.updates if updated.policy.version in line]
        found: list[Grown] = []
        seen: dict[str, str] = {}
        for step, (key, updated) in enumerate(led if len(led) > 1 else self.updates, 1):
            for name, part in updated.policy.parts.items():
                if part.kind not in _WEIGHTY and seen.get(name) != part.version:
                    seen[name] = part.version
                    found.append(self._size(step, key, name, part))
        return tuple(found)

    def _ancestry(self) -> set[str]:
        """The last policy and all that it was made from."""
        parents = {updated.policy.version: _parents(updated) for _, updated in self.updates}
        last = self.result.policy if self.result else next(reversed(parents), "")
        line, waiting = set[str](), [last]
        while waiting:
            version = waiting.pop()
            waiting += () if version in line else parents.get(version, ())
            line.add(version)
        return line

    def _size(self, step: int, place: str, name: str, part: Artifact) -> Grown:
        shas = list(part.files.values())
        return Grown(
            step=step,
            place=place,
            part=name,
            bytes=sum(self.store.path(sha).stat().st_size for sha in shas if self.store.path(sha).is_file()),
            files=len(shas),
            items=self._items(part),
        )

    def _items(self, part: Artifact) -> int | None:
        if part.kind is Kind.SKILLS:
            return len({name.partition("/")[0] for name in part.files if "/" in name})
        if part.kind is not Kind.MEMORY or len(part.files) != 1:
            return None
        try:
            return len(self.load(next(iter(part.files.values())), Memory))
        except ValidationError:
            return None


_WEIGHTY = (Kind.WEIGHTS, Kind.ADAPTER, Kind.REWARD_MODEL, Kind.WORLD_MODEL)


def read_history(folder: Path) -> History:
    """A run's history so far; SharpenError if there is none or it cannot be read."""
    rows = tuple(read_rows(folder))
    store = ArtifactStore(folder / "store")
    if not rows:
        raise SharpenError(f"run {folder} has not begun", remedy=f"`sharpen resume {folder}`")
    manifest = decode(Manifest, store.get(rows[0].entry.blob))
    finished = (folder / "result.json").is_file()
    return History(folder, manifest, rows, read_result(folder) if finished else None, store)


def _paired(attempts: Sequence[Attempt], verdicts: Sequence[Verdict]) -> tuple[Tried, ...]:
    own: Sequence[Attempt | None] = attempts if len(attempts) == len(verdicts) else [None] * len(verdicts)
    return tuple(map(Tried, own, verdicts))


def _standing(item: Round) -> str | None:
    gate = item.gate
    return None if gate is None else gate.candidate if gate.adopted else gate.incumbent


def _parents(updated: Updated) -> tuple[str, ...]:
    """Policies or artifacts that the newest part was made from; that part was put in last."""
    for part in reversed(list(updated.policy.parts.values())):
        if part.parents:
            return part.parents
    return ()


def _known(verdicts: Iterable[Verdict]) -> list[float]:
    return [value for verdict in verdicts if (value := value_of(verdict)) is not None]
