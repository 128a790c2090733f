"""Qwen2.5-Math: one reward model, learnt from one's own tries, picks data, shapes rewards and ranks answers.

Paper: Yang et al., "Qwen2.5-Math Technical Report: Toward Mathematical Expert Model via Self-Improvement",
arXiv 2409.12122. Code: QwenLM/Qwen2.5-Math (evaluation only).
Rounds of: sample k paths a task; learn the reward model r listwise from their verdicts,

    L = -1 / (p (k - p)) sum_{right, wrong} log sigmoid(r(x, right) - r(x, wrong)),  p right ones of k;

keep the top paths by r, of right ones where the answer is known, else of those that agree with the majority
weighted by r; fine-tune on them. Then GRPO on tasks solved 2 to 5 times of 8, with the shaped reward

    R = sigmoid(alpha r_m) + (r_v - 1),  r_v in {0, 1} the verifier, r_m the score.

Inference: the best of N by r (RM@N), or a beam that r guides. Rounds record RM@N, Maj@N, AUC, calibration.
Where the report is silent: k = 6 as for its reward data; a vote weighs sigmoid(r); rounds sample anew and
train on from the previous weights; queries, and the reward model of GRPO, come from the last SFT model.
Changed: r adds the trunk's log-likelihood, with a learnt weight, to two layers on the last token, which a
thousand tries teach a tiny trunk too little. `hidden` is the share of training tasks whose answers are not
looked at (for synthesised problems). `tool` with_python is tool-integrated reasoning: code in a path is run,
its output, without loss, goes into the path. Left out: pre-training, synthesis.
Expected: RM@N > Maj@N > greedy; greedy rises with SFT and with GRPO; the reward `score` raises r_m alone.
Ablation `shuffled`: verdicts and votes are dealt out to other attempts, so nothing right can be learnt.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from itertools import islice

from pydantic import Field

from sharpen.actors.with_python import Tool
from sharpen.core.attempt import Attempt
from sharpen.core.policy import Policy
from sharpen.core.recipe import Need, recipe
from sharpen.core.records import Record
from sharpen.core.run import Run, Scope
from sharpen.core.task import Channel, Task, TaskSet
from sharpen.core.verdict import Verdict
from sharpen.curation.advantages import group_advantages
from sharpen.curation.batch import Batch, Item
from sharpen.curation.rated import rated, shuffled
from sharpen.curation.select import best_per_task, merged, rewards_of, right_places, solved_between, taken
from sharpen.judges.reward import scores_of
from sharpen.judges.reward_watch import Choice, Choosing, best_of_n, votes_of, watch_reward
from sharpen.learners.policy_gradient import PolicyGradient
from sharpen.learners.reward_model import REWARD, RewardLearner
from sharpen.learners.sft import SFT, Start
from sharpen.monitors.calibration import sigmoid
from sharpen.tasks.settings import DEMO, HOME, SMALL, WORDS


class Reward(StrEnum):
    """What GRPO sees."""

    SHAPED = "shaped"
    VERIFIER = "verifier"
    SCORE = "score"


class Config(Record):
    """Settings of Qwen2.5-Math."""

    rounds: int = Field(default=2, ge=0)
    """Rounds of reward model and SFT."""
    samples: int = Field(default=6, ge=2)
    """Paths per task and round (k)."""
    top_k: int = Field(default=2, ge=1)
    """Paths kept per task."""
    by_score: bool = True
    """The top paths are the best by the reward model, not any."""
    hidden: float = Field(default=0.25, ge=0, lt=1)
    """Share of training tasks whose answers are not looked at."""
    weighted_votes: bool = True
    """Votes on hidden answers are weighted by the reward model."""
    shuffled: bool = False
    """Deal verdicts and votes out to other attempts: the ablation."""
    rl_rounds: int = Field(default=2, ge=0)
    """Rounds of GRPO."""
    queries: int = Field(default=48, ge=1)
    """Tasks per round of GRPO."""
    group: int = Field(default=8, ge=2)
    """Samples per query (G), and per task where queries are chosen."""
    band: tuple[int, int] = (2, 5)
    """Least and most right ones of a group for a task to become a query."""
    alpha: float = Field(default=0.5, ge=0)
    """Scale of the score in the shaped reward."""
    reward: Reward = Reward.SHAPED
    """What GRPO sees."""
    lr: float | None = None
    """Learning rate of SFT; none means the learner's default."""
    rl_lr: float | None = None
    """Learning rate of GRPO, likewise."""
    answer: Choice = Choice.GREEDY
    """How the returned policy answers: greedily, by Maj@N or RM@N, or by a beam that r guides."""
    n: int = Field(default=8, ge=1)
    """Samples of Maj@N and RM@N (N), and of a beam at every step."""
    tool: Tool | None = None
    """What paths may use, before and after learning; none means text alone."""


Scores = Sequence[float | None]


def shaped(score: float, right: float, config: Config) -> float:
    """R: right ones lie in (0, 1), wrong ones in (-1, 0), each ordered by the score."""
    if config.reward is Reward.SHAPED:
        return sigmoid(config.alpha * score) + (right - 1)
    return right if config.reward is Reward.VERIFIER else score


def advantages(made: Sequence[Attempt], verdicts: Sequence[Verdict], scores: Scores, config: Config) -> Batch:
    """The attempts with the advantages of their shaped rewards; those of unknown reward get 0."""
    pairs = zip(scores, rewards_of(verdicts), strict=True)
    rewards = [None if r is None or v is None else shaped(r, v, config) for r, v in pairs]
    weights = group_advantages([attempt.task for attempt in made], rewards)
    return Batch(items=tuple(Item(attempt=a, weight=w) for a, w in zip(made, weights, strict=True)))


def top(attempts: Sequence[Attempt], scores: Scores, config: Config) -> Batch:
    """The top paths of each task by score, or any."""
    ranks = scores if config.by_score else [0.0] * len(scores)
    return best_per_task(attempts, ranks, above=float("-inf"), per_task=config.top_k)


def tried(
    it: Scope, policy: Policy, tasks: Sequence[Task], samples: int, config: Config
) -> tuple[Sequence[Attempt], Sequence[Verdict]]:
    """Samples at tasks with known answers, and their verdicts."""
    attempts = it.attempt(policy, tasks, samples=samples)
    verdicts = it.judge(attempts, tasks)
    return attempts, shuffled(verdicts, it.round) if config.shuffled else verdicts


def guessed(it: Scope, policy: Policy, scorer: Policy, tasks: Sequence[Task], config: Config) -> Batch:
    """The top paths at tasks with hidden answers, among those that agree with the vote."""
    attempts = it.attempt(policy, tasks, samples=config.samples)
    scores = scores_of(it, attempts, tasks, scorer)
    weights = [0.0 if r is None else sigmoid(r) for r in scores] if config.weighted_votes else None
    votes = votes_of(it, attempts, tasks, weights)
    kept = right_places(shuffled(votes, it.round) if config.shuffled else votes)
    return it.curate(top, [attempts[i] for i in kept], [scores[i] for i in kept], config)


@recipe(
    paper="arXiv 2409.12122",
    improves="weights, reward_model",
    sees=Channel.LABEL,
    needs=(Need.LOGPROBS, Need.TRAIN),
    acts=WORDS,
    home=HOME.at(rounds=1, samples=4, hidden=0.1, queries=24, rl_lr=6e-5, n=4),
    small=SMALL.on(task="chain?level=4", train=8, val=4, test=4).at(
        rounds=1, samples=3, rl_rounds=1, queries=2, group=4, band=[1, 3], n=2
    ),
    demo=DEMO.on(threads=1, val=8).at(rounds=1, samples=4, hidden=0.05, rl_rounds=0, n=2),
    ablation={"shuffled": True},
    claim="SFT and GRPO on what a self-taught reward model picks raise accuracy; RM@N > Maj@N > greedy.",
    arms={
        "random top-k": {"by_score": False},
        "verifier only": {"reward": "verifier"},
        "score only": {"reward": "score"},
        "majority": {"weighted_votes": False},
    },
)
def qwen_math(run: Run, tasks: TaskSet, policy: Policy, config: Config) -> Policy:
    """Reward model and SFT by turns, then the reward model of the last SFT model, and GRPO with it."""
    policy = run.prepared(policy.acting(config.tool)) if config.tool else policy
    count = round(len(tasks.train) * config.hidden)
    hidden, known = tasks.train[:count], tasks.train[count:]
    reward, scorer, queries = RewardLearner(likelihood=True, epochs=1), policy, list[Task]()
    how = Choosing(choice=config.answer, n=config.n)
    sft = SFT(epochs=2, lr=config.lr, start=Start.PREVIOUS)
    loop = run.iterations(config.rounds + config.rl_rounds)
    for it in islice(loop, config.rounds):
        attempts, verdicts = tried(it, policy, known, config.samples, config)
        scorer = it.scope("reward").update(reward, policy, it.curate(rated, attempts, verdicts))
        right = [attempts[i] for i in right_places(verdicts)]
        batch = it.curate(top, right, scores_of(it, right, known, scorer), config)
        batch = merged(batch, guessed(it, policy, scorer, hidden, config)) if hidden else batch
        candidate = it.update(sft, policy, batch)
        watch_reward(it, candidate, scorer, tasks.val, how)
        policy = it.gate(candidate, incumbent=policy, tasks=tasks.val)
    if config.rl_rounds:
        probe = run.scope("queries")
        asked = known[: 3 * config.queries * config.rl_rounds]  # about a third lie in the band
        attempts, verdicts = tried(probe, policy, asked, config.group, config)
        scorer = probe.update(reward, policy, probe.curate(rated, attempts, verdicts))
        band = probe.curate(solved_between, attempts, verdicts, *config.band)
        queries = [task for task in asked if task.key in band]
    grpo = PolicyGradient(epochs=1, batch_size=64, lr=config.rl_lr, reference=policy.weights)
    for it in loop if queries else ():
        asked = taken(queries, it.round - config.rounds, config.queries)
        attempts, verdicts = tried(it, policy, asked, config.group, config)
        batch = it.curate(advantages, attempts, verdicts, scores_of(it, attempts, asked, scorer), config)
        candidate = it.update(grpo, policy, batch)
        watch_reward(it, candidate, scorer, tasks.val, how)
        policy = it.gate(candidate, incumbent=policy, tasks=tasks.val)
    final = policy.with_part(scorer.parts[REWARD]) if REWARD in scorer.parts else policy
    return final if config.answer is Choice.GREEDY else run.workflow(final, best_of_n, how)
