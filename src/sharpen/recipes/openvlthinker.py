"""OpenVLThinker, its text loop: cycles of imitation and reinforcement, each from the base model again.

Paper: Deng et al., "OpenVLThinker: Complex Vision-Language Reasoning via Iterative SFT-RL Cycles", arXiv
2503.17352. Code: yihedeng9/OpenVLThinker. What is handed from cycle to cycle is data, not weights:

    S_t  = one right trace a question, of k drawn from pi_{t-1}       (t = 1: from the base, the shortest)
    M    = SFT(base, S_t)
    pi_t = GRPO(GRPO(M, medium questions), hard questions)

with the clipped ratio (0.2 below, 0.3 above, at most 3 for bad answers) and 0.01 of the k3 estimate of
KL(pi || M). Sources of questions are sorted into easy, medium and hard by the base's error rate, by 1-D
k-means; for t > 1 the longest of a question's right traces is dropped and the longest of the rest taken.

Changed: no pictures, captions or second reasoner: traces of the first cycle are the base's own, so the first
SFT need not hurt; a source's difficulty is its error rate alone (the paper adds a judge's rating). With fewer
than three sources all are medium and hard. Left out: cutting off repeated reflections (there are none), the
half reward for an empty explanation.

Expected: both SFT_t and pi_t get better over cycles. Ablation: `labels = "shuffled"` deals each group's
verdicts anew, for traces and rewards alike. `restart = "previous"` goes on from the last weights.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import combinations, pairwise
from statistics import fmean

from pydantic import Field

from sharpen.core.attempt import Attempt
from sharpen.core.policy import Policy
from sharpen.core.recipe import Need, Setting, recipe
from sharpen.core.records import Record
from sharpen.core.run import Run, Scope
from sharpen.core.task import Channel, Task, TaskSet
from sharpen.core.verdict import Verdict
from sharpen.curation.advantages import group_advantages
from sharpen.curation.batch import Batch, Item
from sharpen.curation.groups import Groups, Labels, advantaged, gathered, labelled
from sharpen.curation.select import rewards_of
from sharpen.learners.policy_gradient import PolicyGradient
from sharpen.learners.sft import SFT, Start
from sharpen.tasks.settings import DEMO, GROUPS, WORDS

EASY = '["equation?level=2","expression?level=2","chain?level=2"]'
SHORT = '["equation?level=1","equation?level=2","equation?level=3"]'
LEVELS = '["equation?level=4","expression?level=4","chain?level=4"]'
PLACE = Setting(request={**GROUPS.request, "task": f"mixed?families={LEVELS}"})


class Config(Record):
    """Settings of OpenVLThinker."""

    cycles: int = Field(default=3, ge=1)
    """Cycles of SFT and GRPO."""
    samples: int = Field(default=4, ge=1)
    """Traces drawn per question for SFT (k)."""
    epochs: int = Field(default=2, ge=1)
    """Passes over the traces (1)."""
    rounds: int = Field(default=2, ge=1)
    """Rounds of GRPO on medium questions, and as many on hard ones."""
    prompts: int = Field(default=96, ge=1)
    """Questions per round (512)."""
    group: int = Field(default=4, ge=2)
    """Answers per question in GRPO (n = 5)."""
    mini_batch: int = Field(default=16, ge=1)
    """Answers per optimizer step (128)."""
    lr: float = Field(default=5e-5, gt=0)
    """Learning rate of both (5e-7 or 5e-6 for SFT by paper or code, 1e-6 for GRPO)."""
    beta: float = Field(default=0.01, ge=0)
    """Weight of the KL to the SFT model."""
    restart: Start = Start.BASE
    """Whether every cycle's SFT starts from the base model."""
    labels: Labels = Labels.TRUE
    """`shuffled` is the ablation."""


def clusters(errors: Mapping[str, float], count: int = 3) -> list[list[str]]:
    """Sources in `count` clusters by error rate, easiest first: exact 1-D k-means; all in each if too few."""
    order = sorted(errors, key=errors.__getitem__)
    if len(order) < count:
        return [order] * count
    cuts = [(0, *cut, len(order)) for cut in combinations(range(1, len(order)), count - 1)]
    parts = [[order[a:b] for a, b in pairwise(cut)] for cut in cuts]
    return min(parts, key=lambda split: sum(_spread([errors[name] for name in part]) for part in split))


def _spread(values: Sequence[float]) -> float:
    middle = fmean(values)
    return sum((value - middle) ** 2 for value in values)


def difficulties(tasks: Sequence[Task], groups: Groups) -> list[list[str]]:
    """Easy, medium and hard sources by the share of wrong attempts."""
    rates = groups.rates
    errors: dict[str, list[float]] = defaultdict(list)
    for task in tasks:
        errors[task.family].append(1.0 - rates.get(task.key, 0.0))
    return clusters({source: fmean(values) for source, values in errors.items()})


def traces(attempts: Sequence[Attempt], verdicts: Sequence[Verdict], cycle: int) -> Batch:
    """One right trace per question: the shortest in the first cycle, then the longest but one."""
    right: dict[str, list[Attempt]] = defaultdict(list)
    for attempt, reward in zip(attempts, rewards_of(verdicts), strict=True):
        if reward is not None and reward > 0.5:
            right[attempt.task].append(attempt)
    picked = (sorted(group, key=lambda a: a.token_count) for group in right.values())
    return Batch(items=tuple(Item(attempt=row[0] if cycle == 1 else row[-2:][0]) for row in picked))


def relative(attempts: Sequence[Attempt], verdicts: Sequence[Verdict]) -> Batch:
    """Answers weighted by their advantages."""
    return advantaged(attempts, rewards_of(verdicts), group_advantages)


def reinforced(
    it: Scope, policy: Policy, tasks: Sequence[Task], learner: PolicyGradient, c: Config
) -> Policy:
    """GRPO on some questions."""
    for stage in it.iterations(c.rounds):
        groups = gathered(stage, policy, tasks, groups=c.prompts, samples=c.group)
        policy = stage.update(learner, policy, stage.curate(relative, *labelled(groups, c.labels)))
    return policy


@recipe(
    paper="arXiv 2503.17352",
    improves="weights",
    sees=Channel.LABEL,
    needs=(Need.LOGPROBS, Need.TRAIN),
    acts=WORDS,
    home=PLACE.on(train=480, test=400),
    small=PLACE.on(task=f"mixed?families={EASY}", train=9, val=4, test=6, control_samples=2, threads=1).at(
        cycles=2, rounds=1, samples=2
    ),
    demo=DEMO.on(task=f"mixed?families={SHORT}", train=96).at(cycles=1, rounds=1, prompts=48, lr=1e-4),
    ablation={"labels": "shuffled"},
    claim="Cycles of SFT and GRPO, each from the base on the last cycle's traces, beat one cycle.",
    arms={"one cycle": {"cycles": 1}, "continued": {"restart": "previous"}},
)
def openvlthinker(run: Run, tasks: TaskSet, policy: Policy, config: Config) -> Policy:
    """Draw traces, imitate them from the base, reinforce on medium and then on hard questions."""
    base, sources = policy, list[list[str]]()
    sft = SFT(epochs=config.epochs, lr=config.lr, start=config.restart)
    for it in run.iterations(config.cycles):
        attempts = it.attempt(policy, tasks.train, samples=config.samples)
        groups = labelled(Groups(attempts, it.judge(attempts, tasks.train)), config.labels)
        sources = sources or difficulties(tasks.train, groups)
        start = base if config.restart is Start.BASE else policy
        imitator = it.update(sft, start, it.curate(traces, *groups, it.round))
        learner = PolicyGradient(
            epochs=1,
            batch_size=config.mini_batch,
            lr=config.lr,
            clip_high=0.3,
            kl=config.beta,
            reference=imitator.weights,
        )
        candidate = imitator
        for name, wanted in zip(("medium", "hard"), sources[1:], strict=True):
            asked = [task for task in tasks.train if task.family in wanted]
            candidate = reinforced(it.scope(name), candidate, asked, learner, config)
        imitated = it.evaluate(imitator, tasks.val, name="val").values
        it.measure(imitator=fmean(value for value in imitated if value is not None))
        policy = it.gate(candidate, incumbent=policy, tasks=tasks.val)
    return policy
