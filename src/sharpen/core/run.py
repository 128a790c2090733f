"""A run: journaled verbs over a recipe's plain Python.

Every verb call is a step with a key (its path in the loop), a seed, a meter and a stored result. A
finished step is never run again: a run that is started anew walks through its journal and goes on
where it stopped, and ends in the same bytes.
"""

from __future__ import annotations

import random
import shutil
import typing
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Any, Concatenate, NamedTuple, ParamSpec, TypeVar

from sharpen.core.acting import Chunk, making
from sharpen.core.ahead import Verifier
from sharpen.core.artifact import Artifact
from sharpen.core.attempt import Attempt, Author, Stop, Turn, own_tokens, own_turns, parted
from sharpen.core.budget import Purpose, Usage
from sharpen.core.engine import Decoder, Done, Engine, Extracting, Formed, Judging, ModelJudge
from sharpen.core.errors import BadInput
from sharpen.core.gate import GateMode, GateReport
from sharpen.core.policy import Decoding, Job, Policy, PromptForm, Workflow
from sharpen.core.records import Record, digest
from sharpen.core.seeds import random_for, seed_for
from sharpen.core.task import Task, TaskSet
from sharpen.core.updater import Updated, Updater, Workbench
from sharpen.core.verdict import Error, Verdict, value_of
from sharpen.core.watch import Judged

T = TypeVar("T")
P = ParamSpec("P")
C = TypeVar("C", bound=Record)
_NO_ANSWER = Error(kind="no answer", detail="the model's endpoint failed or refused")


EVALUATIONS = "evaluate/"
"""What the keys of all evaluations begin with: work on held-out tasks by right."""


class Scores(NamedTuple):
    """A policy's scores on some tasks, in task order; None where the judge failed."""

    values: tuple[float | None, ...]
    attempts: tuple[Attempt, ...]
    verdicts: tuple[Verdict, ...]


class Scope:
    """A place in the loop; its verbs journal under its path. Scopes nest."""

    def __init__(self, engine: Engine, path: str, *, round: int = 0, purpose: Purpose) -> None:
        """Recipes get scopes from `iterations`, `scope` or a verb; they never make one."""
        self._engine = engine
        self._path = path
        self._purpose = purpose
        self._counts: Counter[str] = Counter()
        self._judged: list[Judged] = []
        self.round = round

    def scope(self, name: str, *, purpose: Purpose | None = None) -> Scope:
        """A nested loop or stage with its own keys and seeds."""
        return Scope(self._engine, self._key(name), round=self.round, purpose=purpose or self._purpose)

    def iterations(self, count: int) -> Iterator[Scope]:
        """Scopes of the rounds 1 to `count`."""
        loop = self._key("round")
        for number in range(1, count + 1):
            it = Scope(self._engine, f"{loop}.{number}", round=number, purpose=self._purpose)
            yield it
            if not self._path:
                for watcher in self._engine.watchers:
                    watcher.round_ended(it, it._judged)

    def _key(self, verb: str) -> str:
        self._counts[verb] += 1
        nth = self._counts[verb]
        name = verb if nth == 1 else f"{verb}~{nth}"
        return f"{self._path}/{name}" if self._path else name

    def helper(self, spec: str, *, prompt: PromptForm | None = None) -> Policy:
        """Open a second model (critic, rival, writer) and return it as a policy.

        Without a form it is asked in its own, or as plain text where it has none.
        """
        models = self._engine.models
        if spec not in models:
            models[spec] = self._engine.opening(spec)
        model = models[spec]
        own = model.form if isinstance(model, Formed) else PromptForm()
        return Policy(model=spec, base=model.fingerprint, prompt=prompt or own)

    def configure(self, choose: Callable[Concatenate[Scope, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Choose settings for this round; `choose` gets a nested scope first and may probe with it."""
        return self._nested("configure", choose, *args, **kwargs)

    def propose(self, make: Callable[Concatenate[Scope, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Make new tasks; `make` gets a nested scope first."""
        return self._nested("propose", make, *args, **kwargs)

    def search(self, explore: Callable[Concatenate[Scope, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Look for better attempts; `explore` gets a nested scope first, and what it returns is stored."""
        return self._nested("search", explore, *args, **kwargs)

    def curate(self, pick: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Apply a pure function that picks, filters, pairs or splices; its result is stored."""
        return self._call("curate", pick, lambda: pick(*args, **kwargs), (args, kwargs))

    def _nested(self, verb: str, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        nested = self.scope(f"{verb}-{function.__name__}")
        return self._call(verb, function, lambda: function(nested, *args, **kwargs), (args, kwargs))

    def _call(self, verb: str, function: Callable[..., T], compute: Callable[[], T], inputs: object) -> T:
        kind = typing.get_type_hints(function)["return"]
        result: T = self._engine.step(
            self._key(verb),
            verb,
            [function.__qualname__, _summary(inputs)],
            kind,
            self._purpose,
            lambda: Done(compute()),
        )
        return result

    def attempt(
        self,
        policy: Policy,
        tasks: Sequence[Task],
        *,
        samples: int = 1,
        temperature: float = 1.0,
        decoding: Decoding | None = None,
        rivals: Mapping[str, Policy] | None = None,
    ) -> tuple[Attempt, ...]:
        """Let the policy try every task `samples` times; attempts come in task order, grouped.

        `rivals` play the other roles of an environment. A policy with a workflow tries each task by it.
        """
        engine, others = self._engine, rivals or {}
        key = self._key("attempt")
        if policy.workflow is not None:
            return self._work(key, policy, tasks, samples)
        how = decoding or engine.decoding._replace(temperature=temperature)
        versions = {role: rival.version for role, rival in others.items()}
        per_chunk = max(1, engine.chunk_rows // samples)
        attempts: list[Attempt] = []
        pairs: list[tuple[Task, Attempt]] = []
        chunks = (
            Chunk(
                f"{key}/{number}",
                [self._job(key, t, index, others) for t in part for index in range(samples)],
            )
            for number, part in enumerate(_chunks(tasks, per_chunk))
        )
        with closing(making(engine.actor, policy, how, chunks, engine.knows)) as makings:
            for number, (chunk, make) in enumerate(makings):
                jobs = chunk.jobs
                engine.listener.progress(key, number * per_chunk, len(tasks), "tasks")
                found = engine.step(
                    chunk.key,
                    "attempt",
                    [policy.version, versions, how, [(job.task.key, job.index, job.seed) for job in jobs]],
                    tuple[Attempt, ...],
                    self._purpose,
                    # The chunk before is judged meanwhile.
                    partial(
                        _beside,
                        partial(engine.ahead.begin, engine.verifier, key, pairs),
                        partial(_act, make, jobs),
                    ),
                )
                pairs = [(job.task, attempt) for job, attempt in zip(jobs, found, strict=True)]
                attempts += found
        engine.listener.progress(key, len(tasks), len(tasks), "tasks")
        made_here = self._purpose in (Purpose.METHOD, Purpose.PREPARATION)
        if made_here and not self._path.startswith(EVALUATIONS):
            for watcher in engine.watchers:
                watcher.attempted(self, tasks)
        return tuple(attempts)

    def go_on(
        self,
        policy: Policy,
        attempts: Sequence[Attempt],
        tasks: Sequence[Task],
        *,
        inject: str = "",
        decoding: Decoding | None = None,
        seeds: Sequence[int] | None = None,
    ) -> tuple[Attempt, ...]:
        """Let the policy write on where attempts of one turn stop; `max_tokens` counts what is new.

        An injected text goes in first, as a template's words: it carries no loss and is not counted among the
        policy's tokens. Attempts come in order, with their turns so far; only what is new is metered. One
        without turns begins at its task's prompt. `seeds`, one for each, are for searches, whose chance must
        not depend on when they come to a place; else it follows from task, index and this call's place.
        """
        engine, by_key = self._engine, {task.key: task for task in tasks}
        key, how = self._key("attempt"), decoding or engine.decoding
        given: Sequence[int | None] = seeds or [None] * len(attempts)
        said = (Turn(author=Author.TEMPLATE, text=inject),) if inject else ()
        longer: list[Attempt] = []
        chunks = (
            Chunk(f"{key}/{number}", [self._onward(key, by_key[a.task], a, said, seed) for a, seed in part])
            for number, part in enumerate(_chunks(list(zip(attempts, given, strict=True)), engine.chunk_rows))
        )
        with closing(making(engine.actor, policy, how, chunks, engine.knows)) as makings:
            for chunk, make in makings:
                longer += engine.step(
                    chunk.key,
                    "attempt",
                    [policy.version, how, [(j.task.key, j.index, j.seed, j.trace) for j in chunk.jobs]],
                    tuple[Attempt, ...],
                    self._purpose,
                    partial(_act, make, chunk.jobs),
                )
        return tuple(longer)

    def parted(
        self, policy: Policy, attempts: Sequence[Attempt], at: Callable[[Attempt], int]
    ) -> tuple[Attempt, ...]:
        """The policy's attempts with their last turns in two, token for token, at a place in the text.

        BadInput for a model whose tokens are not at hand.
        """
        model = self._engine.models[policy.model]
        if not isinstance(model, Decoder):
            raise BadInput(
                "model", policy.model, "has no tokens to cut at", remedy="take a local Hugging Face model"
            )
        return tuple(parted(attempt, at(attempt), model.decode) for attempt in attempts)

    def _job(self, key: str, task: Task, index: int, rivals: Mapping[str, Policy]) -> Job:
        seed = seed_for(self._engine.seed, self._engine.recipe, key, task.key, index, "sample")
        return Job(task=task, index=index, seed=seed, round=self.round, rivals=rivals)

    def _onward(self, key: str, task: Task, attempt: Attempt, said: Sequence[Turn], seed: int | None) -> Job:
        """The job to go on after an attempt, once the template has said something."""
        job = self._job(key, task, attempt.index, {})
        return replace(job, trace=(*attempt.turns, *said), seed=job.seed if seed is None else seed)

    def _work(self, key: str, policy: Policy, tasks: Sequence[Task], samples: int) -> tuple[Attempt, ...]:
        """Attempts by the policy's workflow, grouped by task, named after the tasks and policy as given."""
        assert policy.workflow is not None
        procedure = self._engine.workflows[policy.workflow]
        bare = policy.model_copy(update={"workflow": None})
        groups = [
            procedure(Scope(self._engine, f"{key}/{index}", purpose=self._purpose), bare, tasks)
            for index in range(samples)
        ]
        return tuple(
            attempt.model_copy(update={"task": task.key, "policy": policy.version, "index": index})
            for task, *tries in zip(tasks, *groups, strict=True)
            for index, attempt in enumerate(tries)
        )

    def judge(
        self,
        attempts: Sequence[Attempt],
        tasks: Sequence[Task],
        *,
        verifier: Verifier | ModelJudge | None = None,
    ) -> tuple[Verdict, ...]:
        """Judge attempts at these tasks; verdicts come in the order of the attempts."""
        engine, judge = self._engine, verifier or self._engine.verifier
        by_key = {task.key: task for task in tasks}
        key = self._key("judge")
        verdicts: list[Verdict] = []
        for number, part in enumerate(_chunks(attempts, engine.chunk_rows)):
            pairs = [(by_key[attempt.task], attempt) for attempt in part]
            verdicts += engine.step(
                f"{key}/{number}",
                "judge",
                [judge.fingerprint, [_judged_by(a) for a in part]],
                tuple[Verdict, ...],
                self._purpose,
                partial(_judge, judge, pairs, engine),
            )
        self._judged.append(Judged(attempts, verdicts, tasks))
        return tuple(verdicts)

    def answers(self, attempts: Sequence[Attempt]) -> tuple[str | None, ...]:
        """The canonical answer in every response, as the run's verifier reads it; no label is looked at.

        BadInput if attempts at these tasks have no answers that could be compared.
        """
        verifier = self._engine.verifier
        if not isinstance(verifier, Extracting):
            raise BadInput(
                "verifier", verifier.fingerprint, "finds no answers", remedy="take a verifier with `extract`"
            )
        responses = [attempt.response for attempt in attempts]
        found: tuple[str | None, ...] = self._engine.step(
            self._key("answers"),
            "answers",
            [verifier.fingerprint, responses],
            tuple[str | None, ...],
            self._purpose,
            lambda: Done(tuple(verifier.extract_many(responses))),
        )
        return found

    def measure(self, **numbers: float) -> None:
        """Record numbers of the method's own for this round; the result lists them."""
        self._engine.step(
            self._key("measure"),
            "measure",
            sorted(numbers.items()),
            dict[str, float],
            self._purpose,
            lambda: Done(numbers),
        )

    def warn(self, text: str) -> None:
        """Tell whoever watches the run, and the readers of its result, what to beware of."""
        self._engine.step(self._key("warn"), "warn", text, str, self._purpose, lambda: Done(text))

    def update(self, updater: Updater, policy: Policy, batch: object) -> Policy:
        """Make a candidate policy from a policy and a batch."""
        engine, key = self._engine, self._key("update")
        scratch = engine.folder / "scratch" / digest(key)[:16]

        def compute() -> Done:
            scratch.mkdir(parents=True, exist_ok=True)
            work = Workbench(
                store=engine.store,
                models=engine.models,
                scratch=scratch,
                seed=seed_for(engine.seed, engine.recipe, key, "update"),
                stopwatch=engine.stopwatch,
                progress=lambda done, total, note: engine.listener.progress(key, done, total, note),
            )
            updated = engine.updating(updater, work, policy, batch)
            files = (sha for part in updated.policy.parts.values() for sha in part.files.values())
            return Done(updated, updated.usage, tuple(sorted(files)))

        inputs = [updater.fingerprint, policy.version, _summary(batch)]
        updated: Updated = engine.step(key, "update", inputs, Updated, self._purpose, compute)
        shutil.rmtree(scratch, ignore_errors=True)
        for watcher in engine.watchers:
            watcher.updated(self, updated.policy)
        return updated.policy

    def gate(self, candidate: Policy, *, incumbent: Policy, tasks: Sequence[Task]) -> Policy:
        """Compare on validation tasks; return the policy that goes on. What is returned last is kept.

        All comparisons of a run share one level; see sharpen.core.gate.
        """
        engine = self._engine
        measured = Purpose.METHOD if engine.gate.mode is GateMode.ENFORCE else Purpose.EVALUATION
        old, new = (
            self.evaluate(policy, tasks, name="val", purpose=measured) for policy in (incumbent, candidate)
        )
        versions = (incumbent.version, candidate.version)
        report: GateReport = engine.step(
            self._key("gate"),
            "gate",
            [engine.gate, versions, old.values, new.values, engine.spending],
            GateReport,
            measured,
            lambda: Done(
                engine.gate.decide(old.values, new.values, versions=versions, spent=engine.spending)
            ),
        )
        engine.spending = report.spending
        for watcher in engine.watchers:
            watcher.gated(self, old, new, tasks)
        engine.incumbent = candidate if report.adopted else incumbent
        return engine.incumbent

    def random(self, *purpose: object) -> random.Random:
        """A generator of the run's seed and this place, for chance in the plain Python between verbs."""
        return random_for(self._engine.seed, self._engine.recipe, self._path, *purpose)

    def contents(self, artifact: Artifact) -> dict[str, bytes]:
        """Bytes of an artifact's files by name, for the plain Python between verbs."""
        return {name: self._engine.store.get(sha) for name, sha in artifact.files.items()}

    def evaluate(
        self, policy: Policy, tasks: Sequence[Task], *, name: str, purpose: Purpose = Purpose.EVALUATION
    ) -> Scores:
        """Score a policy on tasks, by one attempt each at the run's test temperature.

        A policy's score on a named set is computed once per run.
        """
        place = Scope(self._engine, f"{EVALUATIONS}{name}/{policy.version}", purpose=purpose)
        attempts = place.attempt(policy, tasks, temperature=self._engine.test_temperature)
        verdicts = place.judge(attempts, tasks)
        return Scores(tuple(value_of(verdict) for verdict in verdicts), attempts, verdicts)


class Run(Scope):
    """The outermost scope, which a recipe function receives."""

    def used(self, purpose: Purpose) -> Usage:
        """What has been used on an account so far."""
        return self._engine.used[purpose][0]

    def preparation(self) -> Scope:
        """A scope for making the policy that the method starts from; metered apart from the method."""
        return self.scope("preparation", purpose=Purpose.PREPARATION)

    def prepared(self, policy: Policy) -> Policy:
        """Declare what the method starts from: `before` and both controls are of this policy."""
        self._engine.start = self._engine.incumbent = policy
        return policy

    def workflow(
        self,
        policy: Policy,
        procedure: Callable[[Scope, Policy, Sequence[Task], C], Sequence[Attempt]],
        config: C,
    ) -> Policy:
        """The policy that answers by a procedure: a function of (scope, policy, tasks, config)."""
        settings = config.model_dump_json()
        named = Workflow(function=procedure.__qualname__, settings=settings)
        self._engine.workflows[named] = lambda scope, bare, tasks: procedure(scope, bare, tasks, config)
        return policy.model_copy(update={"workflow": named})

    def __init__(self, engine: Engine) -> None:
        """Made by the experiment, not by recipes."""
        super().__init__(engine, "", purpose=Purpose.METHOD)


def _act(make: Callable[[], Sequence[Attempt]], jobs: Sequence[Job]) -> Done:
    attempts = tuple(make())
    pairs = list(zip(attempts, jobs, strict=True))
    usage = Usage(
        sampled_tokens=sum(a.token_count - own_tokens(job.trace) for a, job in pairs),
        model_calls=sum(a.policy_turns - own_turns(job.trace) for a, job in pairs),
        environment_steps=sum(attempt.steps for attempt in attempts),
    )
    return Done(attempts, usage, tuple(sorted(sha for a in attempts for sha in a.files.values())))


def _beside(begin: Callable[[], None], act: Callable[[], Done]) -> Done:
    """Act, once something else has begun that goes on meanwhile."""
    begin()
    return act()


def _judged_by(attempt: Attempt) -> tuple[object, ...]:
    """What the verdict on an attempt depends on."""
    failed = (attempt.stop,) if attempt.stop is Stop.FAILED else ()
    return (attempt.task, attempt.response, attempt.outcome, attempt.files, *failed)


def _judge(judge: Verifier | ModelJudge, pairs: Sequence[tuple[Task, Attempt]], engine: Engine) -> Done:
    calls = Usage(judge_calls=sum(attempt.stop is not Stop.FAILED for _, attempt in pairs))
    if isinstance(judge, ModelJudge):
        judging = Judging(engine.models, engine.store, engine.stopwatch)
        verdicts = where_answered(pairs, partial(judge.judge_by, judging))
        return Done(verdicts, calls + judging.meter.used)
    return Done(where_answered(pairs, partial(engine.ahead.judge, judge)), calls)


def where_answered(
    pairs: Sequence[tuple[Task, Attempt]],
    judge: Callable[[Sequence[tuple[Task, Attempt]]], Sequence[Verdict]],
) -> tuple[Verdict, ...]:
    """Verdicts in order; of an attempt that the model gave no answer to, nothing is known."""
    judged = iter(judge([pair for pair in pairs if pair[1].stop is not Stop.FAILED]))
    return tuple(_NO_ANSWER if attempt.stop is Stop.FAILED else next(judged) for _, attempt in pairs)


def _chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _summary(value: Any) -> Any:
    """Stand-in of an argument for hashing: versions of policies, keys of tasks, else the value."""
    match value:
        case Policy():
            return value.version
        case Task():
            return value.key
        case TaskSet():
            return value.fingerprint
        case Mapping():
            return {str(key): _summary(item) for key, item in value.items()}
        case list() | tuple():
            return [_summary(item) for item in value]
        case _:
            return value
