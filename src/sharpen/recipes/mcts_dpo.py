"""MCTS-DPO: step-level preferences out of search trees of the policy as it is now.

Paper: Xie et al., "Monte Carlo Tree Search Boosts Reasoning via Iterative Preference Learning", arXiv
2405.00451. Code: YuxiXie/MCTS-DPO. K simulations per question grow a tree of steps by PUCT,

    argmax_a Q(s, a) + w p(a|s) sqrt(N(s)) / (1 + N(s, a)),

and at each step of the best line the sibling of highest Q is preferred to that of lowest Q, by DPO against
the start policy on what comes after their common prefix, with h the difference of the log-ratios to it:

    loss = -(1 - alpha) log sigma(beta h) - alpha log sigma(-beta h),    alpha = N_l / (N_w + N_l) <= 1/2.

Changed: the critic. The paper adds to the outcome the policy's own word, which it gives with the gold answer
before it; the small model has none, so Q is the mean outcome of the simulations through a step, and steps
that none came through make no pair. A round searches many trees at once, then updates (the code updates after
64 trees). alpha is off by default: with few simulations it is near 1/2. The walk is chosen once.
Left out: near-duplicates, gold steps among the candidates, AB-questions, early checkpoints.

Expected: right draws rise by some four points in five rounds of 72 questions (three seeds: 37 to 41 %, -0.5
to +9), on 17 to 32 pairs a round. That step-level beats instance-level is not shown: with as many sampled
tokens whole answers end at 46 %, SFT on right answers at 55 %. Half of the steps drawn are equal to a sibling
and wasted, and a pair has a fifth of the trained tokens. Offline pairs and permuted Q lose.
Ablation: `order = "permuted"` deals Q anew among siblings.
"""

from __future__ import annotations

import random
from enum import StrEnum
from statistics import fmean

from pydantic import Field

from sharpen.core.policy import Policy
from sharpen.core.recipe import Need, Rival, Setting, recipe
from sharpen.core.records import Record
from sharpen.core.run import Run
from sharpen.core.task import Channel, TaskSet
from sharpen.curation.pairs import Pairs, siblings
from sharpen.curation.select import taken
from sharpen.learners.preference import Preference
from sharpen.learners.reference import Reference
from sharpen.search.growth import Choice
from sharpen.search.lockstep import Mcts, Reach
from sharpen.search.steps import Steps, search_steps
from sharpen.search.trees import Tree, Trees
from sharpen.tasks.settings import DEMO


class Searcher(StrEnum):
    """Whose trees pairs come from."""

    CURRENT = "current"
    FIRST = "first"
    """Those of the policy before the first round: offline."""


class Order(StrEnum):
    """By what siblings are ordered."""

    Q = "q"
    PERMUTED = "permuted"
    """By the Q of another sibling. The ablation."""


class Config(Record):
    """Settings of MCTS-DPO."""

    iterations: int = Field(default=5, ge=1)
    """Rounds."""
    prompts: int = Field(default=72, ge=1)
    """Questions per round (64)."""
    K: int = Field(default=8, ge=1)
    """Simulations per tree (64 in the scripts, 5 in the notes)."""
    b1: int = Field(default=4, ge=2)
    """Steps drawn at the root."""
    b2: int = Field(default=2, ge=1)
    """Steps drawn below."""
    depth: int = Field(default=6, ge=1)
    """The step of this depth is drawn to the end (3, 4); with 1 steps are whole answers: instance-level."""
    filter: bool = True
    """Whether trees that walk to a wrong answer are left out."""
    soft: bool = False
    """Whether visits soften labels (alpha)."""
    beta: float = Field(default=0.1, gt=0)
    """How strongly the policy is held to the start."""
    mini_batch: int = Field(default=8, ge=1)
    """Pairs per optimizer step."""
    lr: float = Field(default=2e-4, gt=0)
    """Learning rate (1e-6)."""
    searcher: Searcher = Searcher.CURRENT
    """`first` searches with the start policy in every round."""
    order: Order = Order.Q
    """`permuted` is the ablation."""

    @property
    def steps(self) -> Steps:
        """What is drawn."""
        return Steps(first=self.b1, width=self.b2, depth=self.depth)

    @property
    def how(self) -> Mcts:
        """Simulations that go on to an end, so that Q is the mean outcome below a step."""
        return Mcts(simulations=self.K, depth=self.depth, reach=Reach.END, choice=Choice.VALUE)


def permuted(tree: Tree, rng: random.Random) -> Tree:
    """The tree with Q and visits dealt anew among siblings."""
    nodes = list(tree.nodes)
    for node in tree.nodes:
        dealt = rng.sample(node.children, len(node.children))
        for to, of in zip(node.children, dealt, strict=True):
            known = {"q": tree.nodes[of].q, "visits": tree.nodes[of].visits}
            nodes[to] = tree.nodes[to].model_copy(update=known)
    return tree.model_copy(update={"nodes": tuple(nodes)})


def step_pairs(trees: Trees, config: Config, seed: int) -> Pairs:
    """The best over the worst sibling at each step of the walks."""
    rng, kept = random.Random(seed), [t for t in trees.items if right(t) or not config.filter]
    if config.order is Order.PERMUTED:
        kept = [permuted(tree, rng) for tree in kept]
    return siblings(kept, soft=config.soft, tried=True)


def right(tree: Tree) -> bool:
    """Whether the walk ends in a right answer."""
    return tree.nodes[tree.walk[-1]].value > 0.5


def shape_of(trees: Trees) -> dict[str, float]:
    """Nodes per tree, and the share of trees that walk to a right answer."""
    return {
        "nodes": fmean(len(tree.nodes) for tree in trees.items),
        "right": fmean(map(right, trees.items)),
    }


PLACE = Setting(
    request={"task": "expression?level=4", "train": 360, "val": 64, "test": 400, "test_temperature": 1.0}
)


@recipe(
    paper="arXiv 2405.00451",
    improves="weights",
    sees=Channel.LABEL,
    needs=(Need.LOGPROBS, Need.TRAIN),
    home=PLACE,
    small=PLACE.on(train=8, val=1, test=2, max_tokens=60, control_samples=1, threads=1).at(
        iterations=2, prompts=4, K=4, depth=2
    ),
    demo=DEMO.on(val=4, threads=1).at(iterations=1, prompts=48, K=4),
    ablation={"order": "permuted"},
    claim="Step-level preferences from the current policy's trees beat instance-level and offline ones.",
    arms={
        "instance-level": {"depth": 1},
        "offline": {"searcher": "first"},
        "SFT on right answers": Rival(recipe="star"),
    },
)
def mcts_dpo(run: Run, tasks: TaskSet, policy: Policy, config: Config) -> Policy:
    """Search, prefer the better siblings, search again."""
    start = policy
    learner = Preference(
        epochs=1,
        batch_size=config.mini_batch,
        lr=config.lr,
        warmup_steps=0,
        beta=config.beta,
        reference=Reference.FIXED if start.weights else Reference.BASE,
        fixed=start.weights,
    )
    for it in run.iterations(config.iterations):
        asked = taken(tasks.train, it.round, config.prompts)
        searcher = policy if config.searcher is Searcher.CURRENT else start
        trees = it.search(search_steps, searcher, asked, config.steps, config.how, batch=256)
        pairs = it.curate(step_pairs, trees, config, it.random("order").getrandbits(62))
        it.measure(pairs=len(pairs), **shape_of(trees))
        candidate = it.update(learner, policy, pairs)
        policy = it.gate(candidate, incumbent=policy, tasks=tasks.val)
    return policy
