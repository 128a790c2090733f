"""IterComp: rewards learnt from a gallery of painters with different strengths, followed by gradient.

Paper: Zhang et al., "IterComp: Iterative Composition-Aware Feedback Learning from Model Gallery for
Text-to-Image Generation", arXiv 2410.07171. Code: YangLing0818/IterComp.

For every aspect k (attribute binding, spatial, non-spatial) experts rank the gallery's pictures of a prompt; a
reward model is trained on all ordered pairs, and the base painter on the hinge of all rewards:

    L(RM_k) = -E log sigmoid(r_k(better) - r_k(worse)),    L(theta) = E_{prompt, m} sum_k relu(2 - r_k(x0_m))

x0_m is the picture predicted at one denoising step m with gradient; the steps before it have none. Then the
improved base joins the gallery: its pictures are spliced into the rankings by RM_k, the old order stays frozen,
the rewards are trained again, and so on.

Changed: rendered scenes for photographs. The shipped base heeds each aspect less than half of the time, and the
gallery's specialists are made from it (right colours only, right places only, right sizes only). An oracle with
10 % of its marks flipped stands for the human experts; equal marks give no pair. m runs over nearly all of the
10 steps, as layout is decided early (the paper: 30 to 39 of 40). The code never compares a newcomer with the
top picture and never with the bottom one's equals; we compare it with all. Both train on the same captions.
Left out: Omost as a second newcomer, EMA.
Expected: every aspect rises, the later rounds add less than the first. Ablation `ranks="shuffled"`: the marks
are dealt out at random before the rewards are trained, and nothing is gained.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from enum import StrEnum
from statistics import mean

from pydantic import Field

from sharpen.actors.painter import IMAGE
from sharpen.core.attempt import Attempt
from sharpen.core.policy import Policy
from sharpen.core.recipe import Setting, recipe
from sharpen.core.records import Record
from sharpen.core.run import Run, Scope
from sharpen.core.seeds import random_for
from sharpen.core.task import Channel, Task, TaskSet
from sharpen.core.verdict import Scored, Verdict, value_of
from sharpen.curation.rankings import Row, agreement, ordered_pairs, ranked, spliced
from sharpen.judges.pixel_spread import PixelSpread
from sharpen.judges.picture_score import PictureJudge
from sharpen.learners.denoise import Denoise
from sharpen.learners.picture_pairs import Pair, PicturePairs, Pairs
from sharpen.learners.pictures import Gallery, Shown
from sharpen.learners.rendered import Rendered, Scenes
from sharpen.learners.reward_gradient import Rewarded, RewardGradient
from sharpen.tasks.scenes import Odds, Scene

ASPECTS = ("attribute", "spatial", "non_spatial")


class Ranks(StrEnum):
    """Which marks the reward models learn from."""

    JUDGED = "judged"
    SHUFFLED = "shuffled"
    """The ablation."""


class Update(StrEnum):
    """How the base learns from the rankings."""

    REWARDS = "rewards"
    """Gradient of the reward models."""
    REJECTION = "rejection"
    """Fine-tuning on the best-ranked picture of every caption."""


class Merge(StrEnum):
    """How many reward models there are."""

    ASPECTS = "aspects"
    ONE = "one"
    """A single one, of the mean mark."""


class Config(Record):
    """Settings of IterComp."""

    iterations: int = Field(default=2, ge=1)
    """Rounds of rewards and base."""
    specialist_steps: int = Field(default=150, ge=1)
    """Training steps of each specialist in the gallery."""
    samples: int = Field(default=2, ge=1)
    """Pictures that each gallery model draws of a caption."""
    label_noise: float = Field(default=0.1, ge=0, le=1)
    """How often an expert's mark is wrong."""
    reward_steps: int = Field(default=300, ge=1)
    """Training steps of a reward model."""
    base_steps: int = Field(default=80, ge=1)
    """Training steps of the base in a round (200)."""
    base_lr: float = Field(default=3e-4, gt=0)
    """Their learning rate."""
    margin: float = 2.0
    """Score from which a reward no longer pulls."""
    ranks: Ranks = Ranks.JUDGED
    """`shuffled` is the ablation."""
    update: Update = Update.REWARDS
    """`rejection` is the baseline without reward models."""
    merge: Merge = Merge.ASPECTS
    """`one` is the baseline with a single reward model."""


Rankings = dict[str, dict[str, Row]]
"""Aspect -> caption -> ranking of pictures."""


PLACE = {"task": "scenes?level=2", "model": "sketch", "train": 240, "val": 24, "test": 120, "shots": 0}
DEMO = {"specialist_steps": 100, "reward_steps": 200, "base_steps": 60, "iterations": 2}


def names_of(config: Config) -> dict[str, tuple[str, ...]]:
    """Reward model -> aspects it learns."""
    return {a: (a,) for a in ASPECTS} if config.merge is Merge.ASPECTS else {"merged": ASPECTS}


def follow(config: Config) -> RewardGradient:
    """The update of the base."""
    return RewardGradient(steps=config.base_steps, lr=config.base_lr, margin=config.margin)


def specialists(place: Scope, base: Policy, tasks: Sequence[Task], config: Config) -> tuple[Policy, ...]:
    """Painters that each heed one aspect: all others are drawn at random in what they learn from."""
    scenes = Scenes(items=tuple(map(Scene.of, tasks)))
    learner = Denoise(steps=config.specialist_steps)
    odds = [Odds(**{other: float(other != aspect) for other in ASPECTS}) for aspect in ASPECTS]
    return tuple(place.update(Rendered(odds=one, learner=learner), base, scenes) for one in odds)


def draw(it: Scope, policy: Policy, tasks: Sequence[Task], config: Config) -> tuple[Attempt, ...]:
    """New pictures of every caption."""
    return it.attempt(policy, tasks, samples=config.samples, temperature=1.0)


def experts(
    attempts: Sequence[Attempt], verdicts: Sequence[Verdict], tasks: Sequence[Task], config: Config
) -> Rankings:
    """The gallery ranked in every aspect by the oracle's marks, some of which are flipped."""
    marks = {a: {task.question: dict[str, float]() for task in tasks} for a in ASPECTS}
    caption = {task.key: task.question for task in tasks}
    for attempt, verdict in zip(attempts, verdicts, strict=True):
        image = attempt.files[IMAGE]
        for a in ASPECTS:
            mark = float(str(verdict.evidence[a])) if isinstance(verdict, Scored) else 0.0
            if random_for("expert", a, attempt.task, image).random() < config.label_noise:
                mark = 1.0 - mark
            marks[a][caption[attempt.task]][image] = mark
    if config.ranks is Ranks.SHUFFLED:
        marks = {a: {c: dealt_anew(row, a + c) for c, row in rows.items()} for a, rows in marks.items()}
    return {a: {c: ranked(row) for c, row in rows.items()} for a, rows in marks.items()}


def dealt_anew(row: dict[str, float], key: str) -> dict[str, float]:
    """The same marks on other pictures."""
    marks = list(row.values())
    random_for("shuffled", key).shuffle(marks)
    return dict(zip(row, marks, strict=True))


def pairs_of(rankings: Rankings, aspects: Sequence[str]) -> Pairs:
    """All ordered pairs of pictures, of all captions and these aspects."""
    rows = [(caption, row) for aspect in aspects for caption, row in rankings[aspect].items()]
    found = [(caption, pair) for caption, row in rows for pair in ordered_pairs(row)]
    return Pairs(items=tuple(Pair(caption=c, better=one, worse=other) for c, (one, other) in found))


def best_of(rankings: Rankings) -> Gallery:
    """The picture with the highest sum of marks for every caption."""
    total: dict[str, Counter[str]] = defaultdict(Counter)
    for rows in rankings.values():
        for caption, row in rows.items():
            total[caption].update({one.item: one.mark for one in row})  # type: ignore[dict-item]
    best = {caption: max(sums, key=sums.__getitem__) for caption, sums in total.items()}
    return Gallery(items=tuple(Shown(caption=c, image=image) for c, image in best.items()))


def joined(
    it: Scope, rankings: Rankings, old: Sequence[Attempt], new: Sequence[Attempt], judges: Policy, tasks: Sequence[Task]
) -> Rankings:
    """Newcomers spliced into every ranking by its reward model; the old order stays frozen."""
    grown, caption = {}, {task.key: task.question for task in tasks}
    for aspect in ASPECTS:
        reward = PictureJudge(judges.parts.get(aspect) or judges.parts["merged"])
        verdicts = it.judge([*old, *new], tasks, verifier=reward)
        scores = {a.files[IMAGE]: value_of(v) or 0.0 for a, v in zip([*old, *new], verdicts, strict=True)}
        rows = dict(rankings[aspect])
        for attempt in new:
            rows[caption[attempt.task]] = spliced(rows[caption[attempt.task]], attempt.files[IMAGE], scores)
        grown[aspect] = rows
    return grown


def watch(it: Scope, policy: Policy, judges: Policy, tasks: Sequence[Task]) -> None:
    """Record how well rewards and oracle agree on held-out pictures, and how much pictures differ."""
    drawn = it.attempt(policy, tasks, samples=4)
    numbers = {"diversity": mean(value_of(v) or 0.0 for v in it.judge(drawn, tasks, verifier=PixelSpread()))}
    truth = it.judge(drawn, tasks)
    for a in (name for name in ASPECTS if name in judges.parts):
        scores = [value_of(v) or 0.0 for v in it.judge(drawn, tasks, verifier=PictureJudge(judges.parts[a]))]
        right = [isinstance(v, Scored) and v.evidence[a] == 1.0 for v in truth]
        numbers |= {f"{a}_score": mean(scores), f"{a}_oracle": mean(map(float, right))}
        if (agreed := agreement(right, scores)) is not None:
            numbers[f"{a}_agreement"] = agreed
    it.measure(**numbers)


@recipe(
    paper="arXiv 2410.07171",
    improves="weights",
    sees=(Channel.LABEL, Channel.ORACLE),
    home=Setting(request=PLACE),
    small=Setting(
        request={**PLACE, "train": 16, "val": 8, "test": 8, "control_samples": 1, "threads": 1},
        config={"specialist_steps": 4, "reward_steps": 4, "base_steps": 4, "iterations": 2},
    ),
    demo=Setting(request={**PLACE, "threads": 1}, config=DEMO),
    ablation={"ranks": "shuffled"},
    claim="Rewards learnt from painters of different strengths lift every aspect of a weak base.",
    arms={
        "rejection": {"update": "rejection"},
        "one iteration": {"iterations": 1},
        "one merged reward": {"merge": "one"},
    },
)
def itercomp(run: Run, tasks: TaskSet, policy: Policy, config: Config) -> Policy:
    """Rank the gallery, learn the rewards, follow them, add the improved base to the gallery, repeat."""
    base, place = run.prepared(policy), run.scope("gallery")
    gallery = (base, *specialists(run.preparation(), base, tasks.train, config))
    pictures = [attempt for painter in gallery for attempt in draw(place, painter, tasks.train, config)]
    rankings = experts(pictures, place.judge(pictures, tasks.train), tasks.train, config)
    judges = base
    for it in run.iterations(config.iterations):
        if config.update is Update.REJECTION:
            candidate = it.update(Denoise(steps=config.base_steps), policy, best_of(rankings))
        else:
            for name, aspects in names_of(config).items():
                learner = PicturePairs(name=name, steps=config.reward_steps)
                judges = it.update(learner, judges, pairs_of(rankings, aspects))
            rewards = {name: judges.parts[name] for name in names_of(config)}
            captions = tuple(task.question for task in tasks.train)
            candidate = it.update(follow(config), policy, Rewarded(captions=captions, rewards=rewards))
        watch(it, candidate, judges, tasks.val)
        policy = it.gate(candidate, incumbent=policy, tasks=tasks.val)
        if it.round < config.iterations and config.update is Update.REWARDS:
            new = draw(it, policy, tasks.train, config)
            rankings = joined(it, rankings, pictures, new, judges, tasks.train)
            pictures += new
    return policy
