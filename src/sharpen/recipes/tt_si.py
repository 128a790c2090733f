"""TT-SI: where the model is unsure of an input, train it on questions like it, answer, and forget again.

Paper: "Self-Improving LLM Agents at Test-Time", arXiv 2510.07841. No code is published. For each input x

    p = shares of the possible answers,    u(x) = p_(1) - p_(2)
    if u(x) < tau: make K examples like x, tune a LoRA on them, answer with it, throw it away.

No label and no verifier is used while adapting. Nothing stays: every input starts from the same weights.

Changed: the paper scores a list of possible answers by likelihood and lets the model write the examples. Here
p are votes of `draws` sampled answers. The shipped models cannot write questions: one like the input is the
input with other digits, and becomes an example with the model's own answer if the model is sure of it.
Unsure inputs of one family share an adapter, `share` of them at most (1 in the paper), as one example teaches
such a small model nothing. Answers are drawn at temperature 1. The same examples can stand in the prompt
instead (TT-ICL). Left out: a stronger writer (TT-D).

Expected: EXPECTED
Ablation: ABLATION
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from enum import StrEnum
from random import Random

from pydantic import Field

from sharpen.core.attempt import Attempt
from sharpen.core.policy import Policy, Shot
from sharpen.core.recipe import Need, Setting, recipe
from sharpen.core.records import Record
from sharpen.core.run import Run, Scope
from sharpen.core.task import Task, TaskSet
from sharpen.curation.asked_again import answered
from sharpen.curation.batch import batch_of
from sharpen.curation.changed_tasks import renumbered
from sharpen.curation.groups import grouped
from sharpen.curation.learnability import top2_margin
from sharpen.learners.sft import SFT
from sharpen.tasks.settings import DEMO, SMALL

SHOTS = 4
"""Examples in a prompt."""


class Inputs(StrEnum):
    """Which inputs are adapted to."""

    UNSURE = "unsure"
    """Those with u < tau."""
    SURE = "sure"
    """The others."""
    ALL = "all"
    RANDOM = "random"
    """Any, as many as are unsure."""


class Examples(StrEnum):
    """What is trained on."""

    LIKE = "like"
    """Questions like the inputs."""
    OTHER = "other"
    """Those of another kind of inputs."""
    EXCHANGED = "exchanged"
    """Questions like the inputs, each with the words of the next one's solution."""


class Config(Record):
    """Settings of TT-SI."""

    tau: float = Field(default=0.95, gt=0, le=1)
    """A margin below this counts as unsure."""
    draws: int = Field(default=4, ge=2)
    """Sampled answers that vote, on an input and on a question like it."""
    examples_each: int = Field(default=4, ge=1)
    """Questions like it per input (K = 1)."""
    share: int = Field(default=150, ge=1)
    """So many inputs of a family have one adapter."""
    epochs: int = Field(default=2, ge=1)
    """Passes over the examples (5)."""
    rank: int = Field(default=8, ge=1)
    """Rank of the adapter."""
    lr: float | None = Field(default=None, gt=0)
    """Learning rate (1e-4); none means the learner's default for an adapter of the model's size."""
    inputs: Inputs = Inputs.UNSURE
    """Which inputs are adapted to."""
    examples: Examples = Examples.LIKE
    """What is trained on."""
    in_context: bool = False
    """Show the examples in the prompt; nothing is trained."""


def adapted_to(tasks: Sequence[Task], margins: Mapping[str, float], how: Config, rng: Random) -> list[Task]:
    """The inputs that are adapted to."""
    unsure = [task for task in tasks if margins[task.key] < how.tau]
    match how.inputs:
        case Inputs.UNSURE:
            return unsure
        case Inputs.SURE:
            return [task for task in tasks if task not in unsure]
        case Inputs.ALL:
            return list(tasks)
        case Inputs.RANDOM:
            return rng.sample(tasks, len(unsure))


def by_family(tasks: Sequence[Task], share: int) -> list[Sequence[Task]]:
    """The tasks in groups of one family, none larger than `share`."""
    families: dict[str, list[Task]] = defaultdict(list)
    for task in tasks:
        families[task.family].append(task)
    return [group for family in families.values() for group in grouped(family, share)]


def drawn(
    scope: Scope, policy: Policy, tasks: Sequence[Task], draws: int
) -> tuple[tuple[Attempt, ...], list[float]]:
    """Sampled answers to the tasks, and u of each task."""
    attempts = scope.attempt(policy, tasks, samples=draws)
    return attempts, [top2_margin(votes) for votes in grouped(scope.answers(attempts), draws)]


def adapted(scope: Scope, policy: Policy, tasks: Sequence[Task], config: Config) -> Policy:
    """The policy with what it learns, or sees, of examples like these inputs."""
    asked = {task.question for task in tasks}
    like = [new for task in tasks for new in renumbered(task, config.examples_each)]
    like = [task for task in like if task.question not in asked]
    drafts, leads = drawn(scope, policy, like, config.draws)
    found = [draft for draft, lead in zip(drafts[:: config.draws], leads, strict=True) if lead >= config.tau]
    if config.in_context:
        questions = {task.key: task.question for task in like}
        shots = tuple(Shot(question=questions[a.task], response=a.response) for a in found[:SHOTS])
        return policy.model_copy(update={"prompt": policy.prompt.model_copy(update={"shots": shots})})
    words = [*found[1:], *found[:1]] if config.examples is Examples.EXCHANGED else found
    learner = SFT(epochs=config.epochs, lr=config.lr, lora_rank=config.rank)
    return scope.update(learner, policy, batch_of(map(answered, found, words)))


def answer_adapted(
    scope: Scope, policy: Policy, tasks: Sequence[Task], config: Config
) -> tuple[Attempt, ...]:
    """Answer every input; where it is adapted to, with weights of its own."""
    _, leads = drawn(scope, policy, tasks, config.draws)
    margins = dict(zip((task.key for task in tasks), leads, strict=True))
    chosen = adapted_to(tasks, margins, config, scope.random("inputs"))
    groups = by_family(chosen, config.share)
    forks = [adapted(scope, policy, group, config) for group in groups]
    if config.examples is Examples.OTHER:
        forks = [*forks[1:], *forks[:1]]
    found = {answer.task: answer for answer in scope.attempt(policy, [t for t in tasks if t not in chosen])}
    facts = {key: {"margin": margin, "adapted": float(key not in found)} for key, margin in margins.items()}
    for fork, group in zip(forks, groups, strict=True):
        found |= {answer.task: answer for answer in scope.attempt(fork, group)}
    return tuple(found[key].model_copy(update={"outcome": fact}) for key, fact in facts.items())


PLACE = Setting(
    request={
        "task": 'mixed?families=["expression?level=4","chain?level=4","product?level=2"]',
        "test_temperature": 1.0,
    }
)


@recipe(
    paper="arXiv 2510.07841",
    improves="weights",
    sees=(),
    needs=(Need.LOGPROBS, Need.TRAIN),
    home=PLACE.on(train=3, val=60, test=300, control_samples=4),
    small=SMALL.on(task="chain?level=4", train=2, val=2, test=4, test_temperature=1.0).at(draws=2, epochs=1),
    demo=DEMO.on(train=1, val=1, test=150, threads=1).at(draws=2),
    ablation={"examples": "exchanged"},
    claim="Training for a while on questions like the unsure ones mends answers, without any label.",
    arms={
        "all inputs": {"inputs": "all"},
        "sure inputs": {"inputs": "sure"},
        "random inputs": {"inputs": "random"},
        "examples of another kind": {"examples": "other"},
        "one question each": {"examples_each": 1},
        "examples in the prompt": {"in_context": True},
    },
)
def tt_si(run: Run, tasks: TaskSet, policy: Policy, config: Config) -> Policy:
    """Nothing is learnt beforehand: the policy that is returned adapts to its inputs by itself."""
    (it,) = run.iterations(1)
    adaptive = run.workflow(policy, answer_adapted, config)
    return it.gate(adaptive, incumbent=policy, tasks=tasks.val)
