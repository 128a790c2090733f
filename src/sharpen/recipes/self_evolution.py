"""SELF: learn to criticise and to mend one's own answers, then live on what one mended.

Paper: "SELF: Self-Evolution with Language Feedback", arXiv 2310.00533. Once, an annotator says of answers r
of the start model what is wrong (f) and gives a refined answer r^. These meta-skills are learnt from D_meta:

    L_meta = -E[log pi(f | p, r) + log pi(r^ | p, r, f) + b log pi(r^ | p)].

Then each round, on prompts without labels: answer r, own feedback f, refined answer r^, own feedback on r^;
keep r^ if that holds it to be right, and train the direct answer, L_self = -E[log pi(r^ | p)], mixed with
D_meta so that the skills survive: from the base model on all data so far (restart), or from the last policy.

Changed: no code was published, and not all of the text could be read. The annotator is a program that holds
an answer against the task's worked solution line by line, so labels are seen, of the `meta` prompts alone.
What it makes of a wrong answer is the solution, worked out first; a right answer it repeats. b is 0, as in
one version of the paper: with b = 1 the start policy has learnt the solutions already. Left out: prompts by
self-instruct. `before` is the policy with meta-skills.

Expected: `pupil` answers before it works anything out. What it refines is far better, and the rounds pass
that on to direct answers (three seeds: 9 to 64 %); without refinement they sink to 4 %. Labels on the meta
prompts alone do better still (`labels only`, 97 %), as its reviewers said. The loop can only help where
`precision`, the share of right ones among kept answers, is above `Acc1`, that among first answers: both are
measured in each round, for reports alone.
Ablation: feedback that finds every answer right, so that refining repeats it.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from statistics import fmean

from pydantic import Field

from sharpen.core.attempt import Attempt
from sharpen.core.budget import Purpose
from sharpen.core.policy import Policy
from sharpen.core.recipe import Need, Setting, recipe
from sharpen.core.records import Record
from sharpen.core.run import Run, Scope
from sharpen.core.task import Channel, Task, TaskSet
from sharpen.curation.batch import Batch, batch_of
from sharpen.curation.remarks import annotated, approved, solved
from sharpen.curation.select import merged, rewards_of, taken
from sharpen.learners.sft import SFT, Start
from sharpen.monitors.correction import from_samples
from sharpen.search.remarking import Feedback, feedback_on, refined


class Filter(StrEnum):
    """Which answers are kept."""

    OWN = "own"
    """Those that the policy's own verdict holds to be right."""
    RANDOM = "random"
    """As many, by chance."""
    ORACLE = "oracle"
    """Those that are right."""
    NONE = "none"


class Learn(StrEnum):
    """What the rounds train on."""

    REFINED = "refined"
    FIRST = "first"
    """First answers, filtered alike: no refinement."""
    LABELS = "labels"
    """The annotator's answers to the meta prompts."""


class Config(Record):
    """Settings of SELF."""

    rounds: int = Field(default=3, ge=1)
    """Rounds of self-evolution (T)."""
    prompts: int = Field(default=60, ge=1)
    """Prompts per round (P_t)."""
    meta: int = Field(default=40, ge=1)
    """Annotated prompts: the first ones of the training split."""
    meta_steps: int = Field(default=24, ge=1)
    """Optimizer steps of meta-skill learning."""
    meta_lr: float = Field(default=2e-4, gt=0)
    """Learning rate of meta-skill learning; with a larger one every answer is soon found right."""
    b: float = Field(default=0.0, ge=0)
    """Weight of the direct term of meta-skill learning."""
    steps: int = Field(default=12, ge=1)
    """Optimizer steps per round."""
    start: Start = Start.PREVIOUS
    """`previous` goes on from the last policy with this round's data, `base` restarts with all so far."""
    replay: bool = True
    """Mix in D_meta, as many items as are kept at most."""
    feedback: Feedback = Feedback.OWN
    """`constant` is the ablation."""
    filter: Filter = Filter.OWN
    """Which answers are kept."""
    learn: Learn = Learn.REFINED
    """What the rounds train on."""
    refine_at_test: bool = False
    """Test on refined answers instead of direct ones (online self-refinement)."""
    lr: float = Field(default=5e-4, gt=0)
    """Learning rate of the rounds."""


def kept_places(it: Scope, own: Sequence[bool], right: Sequence[bool], how: Filter) -> list[int]:
    """Places of the answers that are kept."""
    places = list(range(len(own)))
    match how:
        case Filter.OWN:
            return [place for place in places if own[place]]
        case Filter.ORACLE:
            return [place for place in places if right[place]]
        case Filter.RANDOM:
            return sorted(it.random("filter").sample(places, sum(own)))
        case Filter.NONE:
            return places


def evolved(it: Scope, policy: Policy, tasks: Sequence[Task], config: Config) -> Batch:
    """D_t: (p, r^) of the answers that are kept, with what they are worth measured for the report."""
    first = it.attempt(policy, tasks)
    refining = config.learn is Learn.REFINED
    answers = refined(it, policy, tasks, first, config.feedback) if refining else first
    words = [attempt.response for attempt in answers]
    verdicts = [approved(said) is True for said in feedback_on(it, policy, tasks, words, config.feedback)]
    watch = it if config.filter is Filter.ORACLE else it.scope("watch", purpose=Purpose.EVALUATION)
    worths = [rewards_of(watch.judge(some, tasks)) for some in (first, answers)]
    right = [(worth or 0.0) > 0.5 for worth in worths[1]]
    kept = kept_places(it, verdicts, right, config.filter)
    found = from_samples([attempt.task for attempt in first], *worths)
    precision = {"precision": fmean(right[place] for place in kept)} if kept else {}
    it.measure(kept=len(kept) / len(answers), **precision, **(found.numbers if found else {}))
    return batch_of(answers[place] for place in kept)


def replayed(it: Scope, fresh: Batch, meta: Batch, config: Config) -> Batch:
    """The data of a round with as many items of D_meta, at most."""
    count = min(len(fresh), len(meta)) if config.replay else 0
    return merged(fresh, Batch(items=tuple(it.random("replay").sample(meta.items, count))))


def answer_twice(scope: Scope, policy: Policy, tasks: Sequence[Task], config: Config) -> tuple[Attempt, ...]:
    """Answer, feedback, refined answer: online self-refinement."""
    return refined(scope, policy, tasks, scope.attempt(policy, tasks, temperature=0.0), config.feedback)


PLACE = Setting(request={"task": "offhand?level=2", "model": "pupil", "max_tokens": 48})


@recipe(
    paper="arXiv 2310.00533",
    improves="weights",
    sees=(Channel.LABEL, Channel.HUMAN),
    needs=(Need.TRAIN,),
    home=PLACE.on(train=220, val=32, test=240, control_samples=2).at(meta=40),
    small=PLACE.on(train=8, val=2, test=4, control_samples=2, threads=1).at(
        rounds=2, prompts=3, meta=2, meta_steps=1, steps=1, filter="random", b=1.0
    ),
    demo=PLACE.on(train=60, val=2, test=50, control_samples=2, threads=1).at(
        rounds=1, prompts=40, meta=20, meta_steps=16, steps=12
    ),
    ablation={"feedback": "constant"},
    claim="Own feedback, refinement and filter pass on to direct answers what refining adds.",
    arms={
        "no refinement": {"learn": "first"},
        "labels only": {"learn": "labels"},
        "random filter": {"filter": "random"},
        "unfiltered": {"filter": "none"},
        "oracle filter": {"filter": "oracle"},
        "restart": {"start": "base", "steps": 36},
        "no replay": {"replay": False},
    },
)
def self_evolution(run: Run, tasks: TaskSet, policy: Policy, config: Config) -> Policy:
    """Meta-skills once; then answer, feed back, refine, filter by one's own verdict, train, T times."""
    ready, prompts, pool = run.preparation(), tasks.train[: config.meta], tasks.train[config.meta :]
    meta = ready.curate(annotated, prompts, ready.attempt(policy, prompts), policy, config.b)
    skilled = SFT(steps=config.meta_steps, lr=config.meta_lr, start=Start.PREVIOUS)
    kept = run.prepared(ready.update(skilled, policy, meta))
    learner, data = SFT(steps=config.steps, lr=config.lr, start=config.start), Batch(items=())
    for it in run.iterations(config.rounds):
        policy = kept.model_copy(update={"workflow": None})
        if config.learn is Learn.LABELS:
            fresh = solved(prompts, policy)
        else:
            fresh = evolved(it, policy, taken(pool, it.round, config.prompts), config)
        data = merged(data, fresh) if config.start is Start.BASE else fresh
        if not len(data):
            continue
        candidate = it.update(learner, policy, replayed(it, data, meta, config))
        final = run.workflow(candidate, answer_twice, config) if config.refine_at_test else candidate
        kept = it.gate(final, incumbent=kept, tasks=tasks.val)
    return kept
