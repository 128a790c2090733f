"""What single steps of a run compute, and what their results depend on; sharpen.core.run journals them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from sharpen.core.ahead import Verifier
from sharpen.core.attempt import Attempt, Stop, own_tokens, own_turns
from sharpen.core.budget import Usage
from sharpen.core.engine import Done, Engine, Judging, ModelJudge
from sharpen.core.policy import Job, Policy
from sharpen.core.task import Task, TaskSet
from sharpen.core.verdict import Error, Verdict

T = TypeVar("T")
_NO_ANSWER = Error(kind="no answer", detail="the model's endpoint failed or refused")


def acted(make: Callable[[], Sequence[Attempt]], jobs: Sequence[Job]) -> Done:
    """Attempts at jobs, and the files they made; turns that jobs began with are not counted again."""
    attempts = tuple(make())
    pairs = list(zip(attempts, jobs, strict=True))
    usage = Usage(
        sampled_tokens=sum(a.token_count - own_tokens(job.trace) for a, job in pairs),
        model_calls=sum(a.policy_turns - own_turns(job.trace) for a, job in pairs),
        environment_steps=sum(attempt.steps for attempt in attempts),
    )
    return Done(attempts, usage, tuple(sorted(sha for a in attempts for sha in a.files.values())))


def beside(begin: Callable[[], None], act: Callable[[], Done]) -> Done:
    """Act, once something else has begun that goes on meanwhile."""
    begin()
    return act()


def judged_by(attempt: Attempt) -> tuple[object, ...]:
    """What the verdict on an attempt depends on."""
    failed = (attempt.stop,) if attempt.stop is Stop.FAILED else ()
    return (attempt.task, attempt.response, attempt.outcome, attempt.files, *failed)


def judged(judge: Verifier | ModelJudge, pairs: Sequence[tuple[Task, Attempt]], engine: Engine) -> Done:
    """Verdicts in order with what they used; those that were begun with ahead are taken."""
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


def chunked(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Items in parts of a size, the last one with what is left."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def summary(value: Any) -> Any:
    """Stand-in of an argument for hashing: versions of policies, keys of tasks, else the value."""
    match value:
        case Policy():
            return value.version
        case Task():
            return value.key
        case TaskSet():
            return value.fingerprint
        case Mapping():
            return {str(key): summary(item) for key, item in value.items()}
        case list() | tuple():
            return [summary(item) for item in value]
        case _:
            return value
