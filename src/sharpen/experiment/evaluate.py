"""Score a model without a run."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from sharpen.actors.base import Cast, Stage
from sharpen.core.acting import Chunk, making
from sharpen.core.artifact import ArtifactStore
from sharpen.core.policy import Decoding, Job
from sharpen.core.records import Record
from sharpen.core.seeds import seed_for
from sharpen.core.stats import Interval, mean_interval
from sharpen.core.steps import where_answered
from sharpen.core.updater import Stopwatch
from sharpen.core.verdict import Error, value_of
from sharpen.executors.source import open_pool
from sharpen.experiment.assemble import POLICY_MODEL, open_policy, told_of
from sharpen.experiment.engines import led, open_engines
from sharpen.experiment.rounds import explore_with
from sharpen.experiment.spec import Request
from sharpen.monitors.exploration import Exploration

_CHUNK_ROWS = 64
"""Attempts that an engine makes together."""


class Evaluation(Record):
    """A model's score on the validation tasks of a set."""

    model: str
    task: str
    split: str = "val"
    """The one that is scored."""
    tasks: tuple[tuple[str, str], ...] = ()
    """What is known of the tasks: the sizes of the splits, what was left out."""
    verifier: str
    prompt_style: str
    shots: int
    score: Interval
    """Mean over tasks."""
    coverage: float
    errors: Mapping[str, int]
    """Verdicts that are unknown, by kind."""
    exploration: Exploration
    tokens: int

    def lines(self) -> list[tuple[str, str]]:
        """Name and text, for printing."""
        seen = self.exploration
        form = f"{self.prompt_style}, {self.shots} shots"
        return [
            ("model", self.model),
            ("task", f"{self.task}, judged by {self.verifier}, prompt {form}"),
            *self.tasks,
            ("split", f"{self.split}: {self.score.n} tasks scored, test stays sealed"),
            ("score", f"{self.score.percent()}, {self.score.n} tasks"),
            ("coverage", f"{self.coverage:.1%} {dict(self.errors) or ''}"),
            *([("pass@k", f"{seen.pass_at_k:.1%} at {seen.k}")] if seen.k > 1 else []),
            ("tokens", f"{self.tokens:,}"),
        ]


def evaluate(request: Request, *, samples: int) -> Evaluation:
    """Sample the validation tasks and judge them."""
    with open_pool(request.executor) as pool, tempfile.TemporaryDirectory() as folder:
        opened = open_policy(request, pool)
        store = ArtifactStore(Path(folder))
        hands = open_engines(request, pool, opened.model)
        actor = led(Cast(Stage({POLICY_MODEL: opened.model}, store, Stopwatch())), hands)
        tasks = opened.tasks.val
        jobs = [
            Job(task, index, seed_for(request.seed, "eval", task.key, index))
            for task in tasks
            for index in range(samples)
        ]
        decoding = Decoding(temperature=request.test_temperature, max_tokens=opened.max_tokens)
        rows = (request.chunk_rows or _CHUNK_ROWS) if hands else len(jobs)
        chunks = (Chunk(str(start), jobs[start : start + rows]) for start in range(0, len(jobs), rows))
        made = making(actor, opened.policy, decoding, chunks, lambda key: False)
        attempts = [attempt for one in made for attempt in one.attempts()]
        verdicts = where_answered(
            [(job.task, attempt) for job, attempt in zip(jobs, attempts, strict=True)],
            lambda answered: opened.verifier.judge(answered, store.get),
        )
    values = [value_of(verdict) for verdict in verdicts]
    kinds = [verdict.kind for verdict in verdicts if isinstance(verdict, Error)]
    return Evaluation(
        model=request.model,
        task=request.task,
        tasks=tuple(told_of(request, opened.tasks)),
        verifier=opened.verifier.name,
        prompt_style=opened.policy.prompt.style,
        shots=len(opened.policy.prompt.shots),
        score=mean_interval(_task_means(values, samples)),
        coverage=1 - len(kinds) / len(verdicts),
        errors={kind: kinds.count(kind) for kind in sorted(set(kinds))},
        exploration=explore_with(opened.verifier, attempts, verdicts),
        tokens=sum(attempt.token_count for attempt in attempts),
    )


def _task_means(values: list[float | None], samples: int) -> list[float]:
    groups = (values[i : i + samples] for i in range(0, len(values), samples))
    known = ([value for value in group if value is not None] for group in groups)
    return [sum(group) / len(group) for group in known if group]
