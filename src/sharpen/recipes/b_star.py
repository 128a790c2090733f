"""B-STaR: re-balance exploration and exploitation before every round of self-training.

Paper: Zeng, Huang, Liu, Zhang, He, "B-STaR: Monitoring and Balancing Exploration and Exploitation in
Self-Taught Reasoners", arXiv 2412.17256. Code: hkust-nlp/B-STaR.

Each round takes the temperature T and threshold tau with the best mean balance score (their eq. 2):

    bs_i = min(n'_i / n*, 1) * n'_i / n_i

n_i: distinct solutions of task i kept (reward > tau); n'_i: the right ones among them; n*: how many right
solutions a task should give. Reward of a solution: r = 1[right] + r_score, r_score in [-1, 1].

Where paper and code differ: n* = ceil(N / M) as in the paper (the code fixes 8); as in the code, T comes
from a probe on a subset, tau is chosen again on the full set, and the cap per task grows up to the target.
Changed: no trained process reward model; `score = "confidence"` takes the policy's mean token probability,
`score = "answer"` drops the term (the paper's setting without a reward model), and then only T matters.
Left out: human solutions in the pool; P_0 is the model as it comes.
Expected: BS and greedy accuracy rise, to or above plain online self-training (`temperatures=(1.0,)`,
`thresholds=(0.0,)`, `score="answer"`). Ablation: `thresholds=(-2.0,)` keeps right and wrong alike.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from enum import StrEnum

from pydantic import Field

from sharpen.core.attempt import Attempt
from sharpen.core.policy import Policy
from sharpen.core.recipe import Need, recipe
from sharpen.core.records import Record
from sharpen.core.run import Run, Scope
from sharpen.core.task import Channel, Task, TaskSet
from sharpen.core.verdict import Verdict, value_of
from sharpen.curation.batch import Batch
from sharpen.curation.select import best_per_task, confidence
from sharpen.learners.sft import SFT, Carry, Start
from sharpen.tasks.settings import DEMO, HOME, SMALL, WORDS


class Score(StrEnum):
    """What stands beside 1[right] in the reward."""

    ANSWER = "answer"
    CONFIDENCE = "confidence"


class Config(Record):
    """Settings of B-STaR."""

    iterations: int = Field(default=3, ge=1)
    """Rounds."""
    samples: int = Field(default=8, ge=2)
    """Solutions per task and round (k)."""
    temperatures: tuple[float, ...] = (0.6, 0.8, 1.0, 1.2)
    """Grid of T."""
    thresholds: tuple[float, ...] = tuple(round(0.1 * step, 1) for step in range(-10, 11))
    """Grid of tau."""
    probe_tasks: int = 32
    """Training tasks in the probe of T."""
    n_star: int = Field(default=4, ge=1)
    """Right solutions wanted per task (n*)."""
    score: Score = Score.CONFIDENCE
    """The fallible part of the reward."""
    steps: int = Field(default=48, ge=1)
    """Optimizer steps per round; optimizer and schedule go on across rounds."""
    lr: float | None = None
    """Peak learning rate; none means the learner's default for the model's size."""


class Knobs(Record):
    """The configuration chosen for a round, with its balance score."""

    temperature: float
    threshold: float
    balance: float


Solutions = dict[str, dict[str, tuple[bool, float]]]


def reward(attempt: Attempt, verdict: Verdict, score: Score) -> float | None:
    """r = 1[right] + r_score, or None where nothing is known."""
    extra = confidence(attempt) if score is Score.CONFIDENCE else 0.0
    return None if (value := value_of(verdict)) is None else (value > 0.5) + extra


def solutions_of(attempts: Sequence[Attempt], verdicts: Sequence[Verdict], score: Score) -> Solutions:
    """Task -> distinct response -> (right, reward), without those that have no verdict."""
    found: Solutions = defaultdict(dict)
    for attempt, verdict in zip(attempts, verdicts, strict=True):
        if (r := reward(attempt, verdict, score)) is not None:
            found[attempt.task][attempt.response] = ((value_of(verdict) or 0.0) > 0.5, r)
    return found


def balance(solutions: Solutions, tau: float, n_star: int) -> float:
    """Mean balance score over tasks (eq. 2); tasks with nothing right kept score 0."""
    total = 0.0
    for group in solutions.values():
        kept = [right for right, r in group.values() if r > tau]
        total += min(sum(kept) / n_star, 1.0) * sum(kept) / max(1, len(kept))
    return total / max(1, len(solutions))


def best_threshold(solutions: Solutions, temperature: float, config: Config) -> Knobs:
    """The tau with the best balance score on these solutions; the first of equals."""
    scores = {tau: balance(solutions, tau, config.n_star) for tau in config.thresholds}
    best = max(scores, key=scores.__getitem__)
    return Knobs(temperature=temperature, threshold=best, balance=scores[best])


def balance_probe(probe: Scope, policy: Policy, tasks: Sequence[Task], config: Config) -> Knobs:
    """Sample the probe tasks at every temperature; return the best-balanced configuration."""
    candidates = []
    for temperature in config.temperatures:
        attempts = probe.attempt(policy, tasks, samples=config.samples, temperature=temperature)
        solutions = solutions_of(attempts, probe.judge(attempts, tasks), config.score)
        candidates.append(best_threshold(solutions, temperature, config))
    return max(candidates, key=lambda knobs: knobs.balance)


def select(attempts: Sequence[Attempt], verdicts: Sequence[Verdict], knobs: Knobs, config: Config) -> Batch:
    """Choose tau again on the full set; keep the best-rewarded solutions up to the target size."""
    solutions = solutions_of(attempts, verdicts, config.score)
    return best_per_task(
        attempts,
        [reward(a, v, config.score) for a, v in zip(attempts, verdicts, strict=True)],
        above=best_threshold(solutions, knobs.temperature, config).threshold,
        per_task=config.samples,
        target=config.n_star * len(solutions),
    )


@recipe(
    paper="arXiv 2412.17256",
    improves="weights",
    sees=Channel.LABEL,
    needs=(Need.LOGPROBS, Need.TRAIN),
    acts=WORDS,
    home=HOME.at(iterations=2, samples=2, n_star=2, steps=40, probe_tasks=24),
    small=SMALL.at(iterations=2, samples=4, steps=2, probe_tasks=4),
    demo=DEMO.at(iterations=1, samples=2, n_star=2, steps=20, probe_tasks=24),
    ablation={"thresholds": [-2.0]},
    claim="Self-training with re-chosen temperature and threshold beats fixed ones.",
    arms={
        "right answers": {"temperatures": [1.0], "thresholds": [0.0], "score": "answer"},
        "fixed": {"temperatures": [1.0], "thresholds": [0.0]},
    },
)
def b_star(run: Run, tasks: TaskSet, policy: Policy, config: Config) -> Policy:
    """Online self-training with re-chosen (T, tau)."""
    learner = SFT(
        steps=config.steps,
        lr=config.lr,
        total_steps=config.steps * config.iterations,
        start=Start.PREVIOUS,
        optimizer=Carry.KEEP,
    )
    for it in run.iterations(config.iterations):
        knobs = it.configure(balance_probe, policy, tasks.train[: config.probe_tasks], config)
        attempts = it.attempt(policy, tasks.train, samples=config.samples, temperature=knobs.temperature)
        verdicts = it.judge(attempts, tasks.train)
        batch = it.curate(select, attempts, verdicts, knobs, config)
        candidate = it.update(learner, policy, batch)
        policy = it.gate(candidate, incumbent=policy, tasks=tasks.val)
    return policy
