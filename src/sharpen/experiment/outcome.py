"""The end of a run: open the test split, score, measure the two controls, write down everything."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from math import ceil

from pydantic import JsonValue

from sharpen.core.budget import Purpose
from sharpen.core.engine import Done, Engine
from sharpen.core.policy import Policy
from sharpen.core.recipe import Pick
from sharpen.core.run import Run, Scores
from sharpen.core.stats import Interval, PairedTest, mean_interval, paired_delta
from sharpen.core.task import Task
from sharpen.core.verdict import Scored, Verdict, value_of
from sharpen.experiment.assemble import Setup
from sharpen.experiment.manifest import versions
from sharpen.experiment.result import Change, Control, Controls, Result, Spent, TestScores
from sharpen.experiment.rounds import Steps, best_on_val, rounds_of, warnings_of
from sharpen.models.loading import WEIGHTS_FILE
from sharpen.models.probe import machine_profile
from sharpen.monitors.flows import flows

_MAJORITY_TEMPERATURE = 0.7
_TRAIN_COST = 3
"""A trained token costs as much as three sampled ones: forward and backward against forward alone."""

_UNCHANGED = (
    "Nothing was learned: the run ends with the policy it began with. An easier task, more --samples or "
    "solved examples (--shots) may give it right answers to learn from."
)
_REFUSED = (
    "The gate accepted no candidate: the run ends with the policy it began with. More validation tasks "
    "(--val) let it see smaller gains; --gate observe adopts without asking."
)

Values = tuple[float | None, ...]


def conclude(setup: Setup, engine: Engine, final: Policy, stopped_by: str | None) -> Result:
    """Test the base and the final policy on the sealed split, run the controls, sum up."""
    run, start = Run(engine), engine.start or setup.policy
    base_val = run.evaluate(start, setup.tasks.val, name="val")
    run.evaluate(final, setup.tasks.val, name="val")
    openings = _unseal(engine, final)
    test = setup.tasks.open_test()
    before = run.evaluate(start, test, name="test")
    after = run.evaluate(final, test, name="test")
    delta = paired_delta(before.values, after.values)
    controls = Controls(
        no_update=_no_update(run, start, test, after),
        more_samples=_more_samples(run, setup, start, test, after, _affordable(engine, start, final, before)),
    )
    weights, steps = final.weights, Steps.of(engine)
    rounds = rounds_of(steps, setup.verifier)
    refused = any(each.gate is not None and not each.gate.adopted for each in rounds)
    unchanged = _REFUSED if refused else _UNCHANGED
    wall, start_seconds = _wall(engine)
    return Result(
        spec=setup.spec,
        recipe=setup.recipe.name,
        paper=setup.recipe.paper,
        conclusion=unchanged if final.version == start.version else _conclusion(delta, controls),
        stopped_by=stopped_by,
        test=TestScores(
            before=_interval(before.values),
            after=_interval(after.values),
            delta=delta.delta,
            p_value=delta.p_two_sided,
            flows=flows(before.values, after.values),
            openings=openings,
            facts=_facts_of(before, after),
        ),
        controls=controls,
        best_on_val=best_on_val(steps),
        policy=final.version,
        final=final,
        parts=final.parts,
        weights=str(engine.store.path(weights.files[WEIGHTS_FILE])) if weights else None,
        rounds=rounds,
        base_val=_interval(base_val.values),
        budget=Spent(
            limits=setup.spec.budget,
            used={purpose: used for purpose, (used, _) in engine.used.items()},
            timing={purpose: timing for purpose, (_, timing) in engine.used.items()},
        ),
        wall_seconds=wall,
        start_seconds=start_seconds,
        model_time_share=sum(t.model_seconds for _, t in engine.used.values()) / (wall - start_seconds),
        coverage=_coverage(before.values + after.values),
        channels=tuple(channel.value for channel in setup.recipe.sees),
        notes=setup.tasks.notes + warnings_of(steps),
        journal_head=engine.journal.head,
        versions=versions(),
        hardware=machine_profile().model_dump(mode="json"),
    )


def _unseal(engine: Engine, final: Policy) -> int:
    """Journal that the test split is opened for this policy; return how often that happened."""
    key = f"unseal/{final.version}"
    engine.step(key, "unseal", final.version, str, Purpose.EVALUATION, lambda: Done(final.version))
    return sum(row.entry.verb == "unseal" for row in engine.journal)


def _facts_of(before: Scores, after: Scores) -> dict[str, Change]:
    """Means of every numeric fact in outcomes and evidence, over the attempts that have it."""
    names = {name for facts in (*_known_of(before), *_known_of(after)) for name in facts} - {"value"}
    changes = {
        name: Change(before=mean_interval(_numbers(before, name)), after=mean_interval(_numbers(after, name)))
        for name in sorted(names)
    }
    return {name: change for name, change in changes.items() if change.before.n or change.after.n}


def _known_of(scores: Scores) -> list[dict[str, JsonValue]]:
    """What the environment and the verifier say of each attempt beside its score."""
    evidence = [verdict.evidence if isinstance(verdict, Scored) else {} for verdict in scores.verdicts]
    return [{**attempt.outcome, **said} for attempt, said in zip(scores.attempts, evidence, strict=True)]


def _numbers(scores: Scores, name: str) -> list[float]:
    found = (facts.get(name) for facts in _known_of(scores))
    return [float(value) for value in found if isinstance(value, int | float)]


def _no_update(run: Run, start: Policy, test: Sequence[Task], after: Scores) -> Control:
    """The start policy evaluated once more: what the loop gives when no update is made."""
    again = run.evaluate(start, test, name="test-again", purpose=Purpose.CONTROL)
    return Control(
        **dict(_interval(again.values)),
        after_minus=paired_delta(again.values, after.values).delta,
        samples=1,
        affordable=1,
        note="the start policy, scored again in a separate pass",
    )


def _more_samples(
    run: Run, setup: Setup, start: Policy, test: Sequence[Task], after: Scores, affordable: int
) -> Control:
    """The start policy with as many samples as the method's budget pays for."""
    samples = min(affordable, setup.spec.control_samples)
    place = run.scope("more-samples", purpose=Purpose.CONTROL)
    attempts = place.attempt(start, test, samples=samples, temperature=_MAJORITY_TEMPERATURE)
    verdicts = place.judge(attempts, test)
    answers = setup.verifier.extract_many([attempt.response for attempt in attempts])
    how, picked = _picking(setup)
    values = tuple(
        picked(answers[i : i + samples], verdicts[i : i + samples]) for i in range(0, len(attempts), samples)
    )
    capped = f"; the budget would pay for {affordable}" if affordable > samples else ""
    return Control(
        **dict(_interval(values)),
        after_minus=paired_delta(values, after.values).delta,
        samples=samples,
        affordable=affordable,
        note=f"{how} of {samples} samples of the start policy a task{capped}",
    )


def _affordable(engine: Engine, start: Policy, final: Policy, before: Scores) -> int:
    """Passes over the test tasks that all the method did would pay for, its work at test time included.

    Where attempts have no tokens, their steps are counted.
    """
    used, _ = engine.used[Purpose.METHOD]
    one_pass = _test_tokens(engine, start)
    at_test = _test_tokens(engine, final) - one_pass
    work = used.sampled_tokens + _TRAIN_COST * used.trained_tokens + max(0, at_test)
    if not one_pass:
        one_pass = sum(attempt.steps for attempt in before.attempts)
        work += used.environment_steps
    return max(1, ceil(work / max(1, one_pass)))


def _test_tokens(engine: Engine, policy: Policy) -> int:
    """Tokens that a policy drew on the test tasks, in every step of its workflow but its controls."""
    prefix = f"evaluate/test/{policy.version}/"
    return sum(
        row.entry.usage.sampled_tokens
        for row in engine.journal
        if row.entry.key.startswith(prefix) and row.entry.purpose is not Purpose.CONTROL
    )


Picking = Callable[[Sequence[str | None], Sequence[Verdict]], float | None]


def _picking(setup: Setup) -> tuple[str, Picking]:
    """How one value is made of several samples, in words and as a function."""
    if setup.recipe.pick is Pick.BEST:
        return "best", _best
    return ("majority", _majority) if setup.verifier.extracts else ("mean", _mean)


def _best(answers: Sequence[str | None], verdicts: Sequence[Verdict]) -> float | None:
    return max(_known(verdicts), default=None)


def _mean(answers: Sequence[str | None], verdicts: Sequence[Verdict]) -> float | None:
    known = _known(verdicts)
    return sum(known) / len(known) if known else None


def _known(verdicts: Sequence[Verdict]) -> list[float]:
    return [value for value in map(value_of, verdicts) if value is not None]


def _majority(answers: Sequence[str | None], verdicts: Sequence[Verdict]) -> float | None:
    """Value of the most frequent answer, the earliest of equals; 0 if no sample has an answer."""
    votes: dict[str, list[Verdict]] = defaultdict(list)
    for answer, verdict in zip(answers, verdicts, strict=True):
        if answer is not None:
            votes[answer].append(verdict)
    return value_of(max(votes.values(), key=len)[0]) if votes else 0.0


def _interval(values: Values) -> Interval:
    return mean_interval([value for value in values if value is not None])


def _coverage(values: Values) -> float:
    return sum(value is not None for value in values) / len(values)


def _wall(engine: Engine) -> tuple[float, float]:
    """Wall-clock seconds over all processes that worked on the run, and those before their first step."""
    ends: dict[str, float] = {engine.session: time.perf_counter() - engine.started}
    starts: dict[str, float] = {}
    for row in engine.journal:
        session = row.wall.session
        starts.setdefault(session, row.wall.elapsed - row.wall.seconds)
        ends[session] = max(ends.get(session, 0.0), row.wall.elapsed)
    return sum(ends.values()), sum(starts.values())


def _conclusion(delta: PairedTest, controls: Controls) -> str:
    change, more = delta.delta, controls.more_samples.after_minus
    said = change.percent(signed=True)
    if change.below_zero:
        return f"The test score fell: {said}."
    if not change.above_zero:
        return f"No clear change on test: {said}."
    rose = f"The test score rose: {said}"
    if more.above_zero:
        return f"{rose}; it beats spending the budget on more samples: {more.percent(signed=True)}."
    if more.below_zero:
        return f"{rose}; but more samples at the same budget do better: {more.percent(signed=True)}."
    return f"{rose}; more samples at the same budget may do as well: {more.percent(signed=True)}."
