"""MCTS-DPO: step-level preferences from search trees of the policy as it is now.

Paper: Xie et al., "Monte Carlo Tree Search Boosts Reasoning via Iterative Preference Learning", arXiv
2405.00451.

"""

from __future__ import annotations

import random
from enum import StrEnum

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
from sharpen.search.growth import Backup, Choice
from sharpen.search.lockstep import Mcts, Plan, Reach
from sharpen.search.steps import Steps, search_steps
from sharpen.search.trees import Tree, Trees
from sharpen.search.values import Values
from sharpen.tasks.settings import GROUPS, SMALL


class Searcher(StrEnum):
    """Whose trees pairs come from."""

    CURRENT = "current"
    FIRST = "first"
    """Those of the policy before the first round: the same data, offline."""


class Order(StrEnum):
    """What pairs are ordered by."""

    Q = "q"
    PERMUTED = "permuted"
    """The Q of another sibling. The ablation."""


class Config(Record):
    """Settings of MCTS-DPO."""

    iterations: int = Field(default=6, ge=1)
    """Rounds."""
    prompts: int = Field(default=96, ge=1)
    """Questions per round (64)."""
    K: int = Field(default=8, ge=1)
    """Simulations per tree (64, 5)."""
    b1: int = Field(default=4, ge=2)
    """Steps drawn at the root."""
    b2: int = Field(default=2, ge=1)
    """Steps drawn below."""
    depth: int = Field(default=4, ge=1)
    """Depth at which answers are drawn to their ends; 1 draws whole answers: instance-level pairs."""
    rollouts: int = Field(default=0, ge=0)
    """Continuations that value a step, in place of self-evaluation."""
    least: float = Field(default=0.0, ge=0)
    """By how much Q must differ."""
    filter: bool = False
    """Whether trees that walk to a wrong answer are left out."""
    walked: bool = False
    """Whether only steps of the walk make pairs."""
    tried: bool = True
    """Whether steps that no simulation came through make no pairs."""
    soft: bool = True
    """Whether visits soften labels (alpha)."""
    beta: float = Field(default=0.1, gt=0)
    """How strongly the policy is held to the start."""
    likelihood: float = Field(default=0.0, ge=0)
    """Weight of the better step's likelihood."""
    lr: float = Field(default=5e-5, gt=0)
    """Learning rate (1e-6)."""
    epochs: int = Field(default=1, ge=1)
    """Passes over a round's pairs."""
    mini_batch: int = Field(default=16, ge=1)
    """Pairs per optimizer step."""
    searcher: Searcher = Searcher.CURRENT
    """`first` collects all trees before training."""
    order: Order = Order.Q
    """`permuted` is the ablation."""

    @property
    def steps(self) -> Steps:
        """What is drawn."""
        return Steps(first=self.b1, width=self.b2, depth=self.depth, values=Values(rollouts=self.rollouts))

    @property
    def how(self) -> Mcts:
        """The search."""
        return Mcts(
            simulations=self.K,
            depth=self.depth,
            backup=Backup.MEAN,
            reach=Reach.END,
            plan=Plan.ONCE,
            choice=Choice.VALUE,
        )


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
    """Best over worst sibling at each step of the walks."""
    kept = [t for t in trees.items if not config.filter or t.nodes[t.walk[-1]].value > 0.5]
    if config.order is Order.PERMUTED:
        rng = random.Random(seed)
        kept = [permuted(tree, rng) for tree in kept]
    return siblings(kept, least=config.least, soft=config.soft, walked=config.walked, tried=config.tried)


PLACE = Setting(request=GROUPS.request)


@recipe(
    paper="arXiv 2405.00451",
    improves="weights",
    sees=Channel.LABEL,
    needs=(Need.LOGPROBS, Need.TRAIN),
    home=PLACE,
    small=SMALL.at(iterations=2, prompts=6, K=3, mini_batch=8),
    demo=PLACE.on(train=288, val=16, test=240).at(iterations=4),
    ablation={"order": "permuted"},
    claim="Step-level preferences from the current policy's trees beat instance-level and offline ones.",
    arms={
        "instance-level": {"depth": 1, "b1": 8, "soft": False},
        "offline": {"searcher": "first"},
        "SFT": Rival(recipe="star", config={}),
    },
)
def mcts_dpo(run: Run, tasks: TaskSet, policy: Policy, config: Config) -> Policy:
    """Search, pair siblings, DPO against the start; and again with the new policy."""
    start, learner = (
        policy,
        Preference(
            epochs=config.epochs,
            batch_size=config.mini_batch,
            lr=config.lr,
            beta=config.beta,
            likelihood=config.likelihood,
            reference=Reference.FIXED if policy.weights else Reference.BASE,
            fixed=policy.weights,
        ),
    )
    for it in run.iterations(config.iterations):
        searcher = policy if config.searcher is Searcher.CURRENT else start
        asked = taken(tasks.train, it.round, config.prompts)
        trees = it.search(search_steps, searcher, asked, config.steps, config.how, batch=256)
        pairs = it.curate(step_pairs, trees, config, it.random("permuted").getrandbits(62))
        it.measure(pairs=len(pairs), **facts(trees))
        candidate = it.update(learner, policy, pairs)
        policy = it.gate(candidate, incumbent=policy, tasks=tasks.val)
    return policy


def facts(trees: Trees) -> dict[str, float]:
    n = len(trees.items)
    return {
        "walk_right": sum(t.nodes[t.walk[-1]].value > 0.5 for t in trees.items) / n,
        "nodes": sum(len(t.nodes) for t in trees.items) / n,
        "tokens": sum(
            len(turn.token_ids)
            for t in trees.items
            for node in t.nodes[1:]
            for turn in node.turns
            if turn.author == "policy"
        )
        / n,
    }
