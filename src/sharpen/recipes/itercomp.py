"""IterComp: rewards learnt from a gallery of painters with different strengths, followed by gradient.

Paper: Zhang et al., "IterComp: Iterative Composition-Aware Feedback Learning from Model Gallery for
Text-to-Image Generation", arXiv 2410.07171. Code: YangLing0818/IterComp.

For every aspect k experts rank the gallery's pictures of a prompt; a reward model is trained on all ordered
pairs, and the base painter on the hinge of all rewards:

    L(RM_k) = -E log sigmoid(r_k(better) - r_k(worse)),    L(theta) = E_{prompt, m} sum_k relu(2 - r_k(x0_m))

x0_m is predicted at one denoising step m with gradient; the steps before it have none. Then the improved base
joins the gallery: RM_k splices its pictures into the rankings, the rewards are trained again, and so on.

Changed: rendered scenes for photographs. The shipped base often misses an aspect; the specialists learn from
it, with captions right in one aspect and half wrong in the others. An oracle with 10 % of its marks flipped
stands for the experts. Only how captions are read is trained on the rewards: training all weights, as the
paper does, decayed into noise that the rewards like. m runs over the first 7 of 10 steps, as layout is
decided early (the paper: 30 to 39 of 40); the rewards learn from such half-denoised pictures, too, and the
base's own pictures are denoised alongside. Newcomers are compared with the top picture, too. Left out: Omost,
EMA. Expected: the mean of the aspects rises. Ablation `ranks="shuffled"`: marks are dealt out at random.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from pydantic import Field

from sharpen.actors.painter import IMAGE
from sharpen.core.attempt import Attempt
from sharpen.core.policy import Policy
from sharpen.core.recipe import Need, Setting, recipe
from sharpen.core.records import Record
from sharpen.core.run import Run, Scope
from sharpen.core.seeds import random_for
from sharpen.core.task import Channel, Task, TaskSet
from sharpen.core.verdict import Scored, Verdict
from sharpen.curation.rankings import Row, ordered_pairs, ranked, reshuffled, spliced, top_item
from sharpen.judges.picture_score import picture_scores, watch_pictures
from sharpen.learners.denoise import Denoise
from sharpen.learners.picture_pairs import Pair, Pairs, PicturePairs
from sharpen.learners.pictures import Gallery, Shown
from sharpen.learners.rendered import Rendered, Scenes
from sharpen.learners.reward_gradient import Rewarded, RewardGradient
from sharpen.tasks.scenes import Odds, Scene

ASPECTS = ("attribute", "spatial", "non_spatial")


class Ranks(StrEnum):
    """Which marks the reward models learn from."""

    JUDGED = "judged"
    SHUFFLED = "shuffled"


class Update(StrEnum):
    """How the base learns from the rankings."""

    REWARDS = "rewards"
    """Gradient of one reward model for each aspect."""
    MERGED = "merged"
    """Gradient of a single reward model of all aspects."""
    REJECTION = "rejection"
    """Fine-tuning on the best-ranked picture of every caption."""


class Config(Record):
    """Settings of IterComp."""

    iterations: int = Field(default=2, ge=1)
    """Rounds of rewards and base."""
    specialist_steps: int = Field(default=300, ge=1)
    """Training steps of each specialist in the gallery."""
    samples: int = Field(default=3, ge=1)
    """Pictures that each gallery model draws of a caption."""
    label_noise: float = Field(default=0.1, ge=0, le=1)
    """How often an expert's mark is wrong."""
    reward_steps: int = Field(default=300, ge=1)
    """Training steps of a reward model."""
    base_steps: int = Field(default=80, ge=1)
    """Training steps of the base in a round (200)."""
    base_lr: float = Field(default=1e-3, gt=0)
    """Their learning rate."""
    ranks: Ranks = Ranks.JUDGED
    """`shuffled` is the ablation."""
    update: Update = Update.REWARDS
    """`rejection` and `merged` are baselines."""


Rankings = dict[str, dict[str, Row]]  # aspect -> caption -> ranking
SIZES = {"train": 120, "val": 24, "test": 60}
HERE = Setting(request={"task": "scenes?level=2", "model": "sketch", "shots": 0, "threads": 1, **SIZES})
TINY = Setting(request={**HERE.request, "train": 16, "val": 8, "test": 8, "control_samples": 1})


def names_of(config: Config) -> dict[str, tuple[str, ...]]:
    """Reward model -> aspects it learns."""
    return {a: (a,) for a in ASPECTS} if config.update is Update.REWARDS else {"merged": ASPECTS}


def specialists(place: Scope, base: Policy, tasks: Sequence[Task], config: Config) -> tuple[Policy, ...]:
    """Painters that each heed one aspect: what they learn from is half wrong in the others."""
    scenes = Scenes(items=tuple(map(Scene.of, tasks)))
    learner = Denoise(steps=config.specialist_steps)
    odds = [Odds(**{other: float(other != aspect) / 2 for other in ASPECTS}) for aspect in ASPECTS]
    return tuple(place.update(Rendered(odds=one, learner=learner), base, scenes) for one in odds)


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
            wrong = random_for("expert", a, attempt.task, image).random() < config.label_noise
            marks[a][caption[attempt.task]][image] = abs(mark - wrong)
    if config.ranks is Ranks.SHUFFLED:
        marks = {a: {c: reshuffled(row, a, c) for c, row in rows.items()} for a, rows in marks.items()}
    return {a: {c: ranked(row) for c, row in rows.items()} for a, rows in marks.items()}


def pairs_of(rankings: Rankings, aspects: Sequence[str]) -> Pairs:
    """All ordered pairs of pictures, of all captions and these aspects."""
    rows = [(caption, row) for aspect in aspects for caption, row in rankings[aspect].items()]
    found = [(caption, pair) for caption, row in rows for pair in ordered_pairs(row)]
    return Pairs(items=tuple(Pair(caption=c, better=one, worse=other) for c, (one, other) in found))


def best_of(rankings: Rankings, captions: Sequence[str]) -> Gallery:
    """The picture with the highest sum of marks for every caption."""
    best = [(caption, top_item([rows[caption] for rows in rankings.values()])) for caption in captions]
    return Gallery(items=tuple(Shown(caption=caption, image=image) for caption, image in best))


def drawn_by(painter: Policy, pictures: Sequence[Attempt], tasks: Sequence[Task]) -> Gallery:
    """What one painter of the gallery drew."""
    caption, mine = {t.key: t.question for t in tasks}, [p for p in pictures if p.policy == painter.version]
    return Gallery(items=tuple(Shown(caption=caption[one.task], image=one.files[IMAGE]) for one in mine))


def joined(
    it: Scope, rankings: Rankings, pictures: Sequence[Attempt], judges: Policy, tasks: Sequence[Task]
) -> Rankings:
    """Newcomers spliced into every ranking that has a reward model; the old order stays frozen."""
    grown = {aspect: dict(rows) for aspect, rows in rankings.items()}
    for aspect, rows in grown.items():
        if reward := judges.parts.get(aspect) or judges.parts.get("merged"):
            for caption, scores in picture_scores(it, pictures, tasks, reward).items():
                for image in sorted(set(scores) - {one.item for one in rows[caption]}):
                    rows[caption] = spliced(rows[caption], image, scores)
    return grown


@recipe(
    paper="arXiv 2410.07171",
    improves="weights",
    sees=(Channel.LABEL, Channel.ORACLE),
    needs=(Need.PICTURES,),
    home=HERE,
    small=TINY.at(specialist_steps=4, reward_steps=4, base_steps=4),
    demo=HERE.at(iterations=1, specialist_steps=150, reward_steps=150),
    ablation={"ranks": "shuffled"},
    claim="Rewards learnt from painters of different strengths make a weak base heed its captions better.",
    arms={
        "rejection": {"update": "rejection"},
        "one iteration": {"iterations": 1},
        "one merged reward": {"update": "merged"},
    },
)
def itercomp(run: Run, tasks: TaskSet, policy: Policy, config: Config) -> Policy:
    """Rank the gallery, learn the rewards, follow them, add the improved base to the gallery, repeat."""
    base, place = run.prepared(policy), run.scope("gallery")
    follow = RewardGradient(steps=config.base_steps, lr=config.base_lr, denoising=10.0, only="captions")
    captions = tuple(task.question for task in tasks.train)
    gallery = (base, *specialists(run.preparation(), base, tasks.train, config))
    pictures = [a for painter in gallery for a in place.attempt(painter, tasks.train, samples=config.samples)]
    rankings = experts(pictures, place.judge(pictures, tasks.train), tasks.train, config)
    own, judges = drawn_by(base, pictures, tasks.train), base
    for it in run.iterations(config.iterations):
        if config.update is Update.REJECTION:
            candidate = it.update(Denoise(steps=config.base_steps), policy, best_of(rankings, captions))
        else:
            for name, aspects in names_of(config).items():
                learner = PicturePairs(name=name, steps=config.reward_steps)
                judges = it.update(learner, judges, pairs_of(rankings, aspects))
            rewards = {name: judges.parts[name] for name in names_of(config) if name in judges.parts}
            candidate = it.update(follow, policy, Rewarded(captions=captions, rewards=rewards, anchors=own))
        known = {a: judges.parts[a] for a in ASPECTS if a in judges.parts}
        watch_pictures(it, it.attempt(candidate, tasks.val, samples=4), tasks.val, known)
        policy = it.gate(candidate, incumbent=policy, tasks=tasks.val)
        if it.round < config.iterations and config.update is not Update.REJECTION:
            pictures += it.attempt(policy, tasks.train, samples=config.samples)
            rankings = joined(it, rankings, pictures, judges, tasks.train)
    return policy
