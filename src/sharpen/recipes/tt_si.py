"""TT-SI: where the model is unsure of an input, train it on questions like it, answer, and forget again.

Paper: "Self-Improving LLM Agents at Test-Time", arXiv 2510.07841. No code is published. For each input x

    p = shares of the possible answers,    u(x) = p_(1) - p_(2)
    if u(x) < tau: make K examples like x, tune a LoRA on them, answer with it, throw it away.

No label and no verifier is used while adapting. Nothing stays: every input starts from the same weights.
Changed: the paper scores a list of possible answers by likelihood and lets the model write the examples. Here
p are votes of `draws` sampled answers. The shipped models cannot write questions: the writer `own` puts other
digits into the input and keeps what half of the model's tries agree on, `teacher` lets the input's family
make and solve another one (TT-D). Unsure inputs of one family share an adapter, `share` of them at most (1 in
the paper), as one example teaches such small models nothing. Answers are drawn. The same examples can stand
in the prompt instead (TT-ICL).
Expected: with a teacher much where the model lacks a habit: `offhand`, which answers before it thinks, goes
from 0 to 57 percent in the demonstration. With its own examples `tiny` gains little: +3 to +8 points on 150
inputs in three first looks, no interval above zero, and votes without training did no worse.
Ablation: `exchanged` trains on the same questions, each with the words of the next one's solution.
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
from sharpen.core.task import Channel, Task, TaskSet
from sharpen.curation.asked_again import answered
from sharpen.curation.batch import batch_of
from sharpen.curation.changed_tasks import renumbered
from sharpen.curation.groups import grouped
from sharpen.curation.learnability import top2_margin
from sharpen.curation.select import confidence, demonstrations
from sharpen.curation.voting import best_by, shares
from sharpen.learners.sft import SFT
from sharpen.tasks.mixed import maker
from sharpen.tasks.settings import SMALL

RANK = 8
SHOTS = 4  # examples in a prompt


class Inputs(StrEnum):
    """Which inputs are adapted to."""

    UNSURE = "unsure"
    """Those with u < tau."""
    SURE = "sure"
    """The others."""
    RANDOM = "random"
    """Any, as many as are unsure."""
    ALL = "all"


class Writer(StrEnum):
    """Who writes examples."""

    OWN = "own"
    """The input with other digits, solved by the model."""
    TEACHER = "teacher"
    """The input's family: another question and its solution (TT-D)."""


class Config(Record):
    """Settings of TT-SI."""

    tau: float = Field(default=0.95, gt=0, le=1)
    """A margin below this counts as unsure."""
    draws: int = Field(default=4, ge=2)
    """Sampled answers that vote, on an input and on a question like it."""
    examples_each: int = Field(default=2, ge=1)
    """Questions like it per input (K = 1)."""
    share: int = Field(default=150, ge=1)
    """So many inputs of a family have one adapter."""
    epochs: int = Field(default=3, ge=1)
    """Passes over the examples (5)."""
    lr: float | None = Field(default=None, gt=0)
    """Learning rate (1e-4); none means the learner's default for an adapter of the model's size."""
    inputs: Inputs = Inputs.UNSURE
    """Which inputs are adapted to."""
    writer: Writer = Writer.OWN
    """Who writes examples."""
    exchanged: bool = False
    """Train on every question with the words of the next one's solution. The ablation."""
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


def written(scope: Scope, tasks: Sequence[Task], config: Config) -> tuple[Task, ...]:
    """Questions like these, none of them the same."""
    asked, count = {task.question for task in tasks}, config.examples_each
    if config.writer is Writer.OWN:
        like = [new for task in tasks for new in renumbered(task, count)]
    else:
        like = [maker(task.family)(scope.random("like", task.key, i)) for task in tasks for i in range(count)]
    return tuple(new for new in like if new.question not in asked)


def solved(scope: Scope, policy: Policy, tasks: Sequence[Task], config: Config) -> Sequence[Attempt]:
    """The tasks as the teacher solves them, or as the policy mostly does, where half its tries agree."""
    if config.writer is Writer.TEACHER:
        return demonstrations(tasks, policy.prompt, policy=policy.version)
    drafts = scope.attempt(policy, tasks, samples=config.draws)
    agreement = shares(drafts, scope.answers(drafts))
    return best_by([d for d, share in zip(drafts, agreement, strict=True) if share >= 0.5], confidence)


def adapted(scope: Scope, policy: Policy, tasks: Sequence[Task], config: Config) -> Policy:
    """The policy with what it learns, or sees, of examples like these inputs."""
    like = written(scope, tasks, config)
    found = solved(scope, policy, like, config)
    if config.in_context:
        questions = {task.key: task.question for task in like}
        shots = [Shot(question=questions[a.task], response=a.turns[-1].text.strip()) for a in found[:SHOTS]]
        return policy.model_copy(update={"prompt": policy.prompt.model_copy(update={"shots": tuple(shots)})})
    words = [*found[1:], *found[:1]] if config.exchanged else found
    learner = SFT(epochs=config.epochs, lr=config.lr, lora_rank=RANK)
    return scope.update(learner, policy, batch_of(map(answered, found, words)))


def answer_adapted(
    scope: Scope, policy: Policy, tasks: Sequence[Task], config: Config
) -> tuple[Attempt, ...]:
    """Answer every input; where it is adapted to, with weights of its own."""
    votes = scope.answers(scope.attempt(policy, tasks, samples=config.draws))
    leads = map(top2_margin, grouped(votes, config.draws))
    margins = dict(zip((task.key for task in tasks), leads, strict=True))
    chosen = adapted_to(tasks, margins, config, scope.random("inputs"))
    groups = by_family(chosen, config.share)
    forks = [adapted(scope, policy, group, config) for group in groups]
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
    sees=Channel.TEACHER,
    needs=(Need.LOGPROBS, Need.TRAIN),
    home=PLACE.on(train=3, val=60, test=300, control_samples=4),
    small=SMALL.on(task="chain?level=4", train=2, val=2, test=4, test_temperature=1.0).at(draws=2, epochs=1),
    demo=PLACE.on(task='mixed?families=["chain?level=3"]', model="offhand", train=1, val=1, test=24).at(
        writer="teacher", examples_each=1, epochs=12
    ),
    ablation={"exchanged": True},
    claim="Adapting for a while to questions like the unsure inputs helps; to sure inputs it does not.",
    arms={
        "sure inputs": {"inputs": "sure"},
        "random inputs": {"inputs": "random"},
        "all inputs": {"inputs": "all"},
        "examples in the prompt": {"in_context": True},
        "a teacher's examples": {"writer": "teacher"},
    },
)
def tt_si(run: Run, tasks: TaskSet, policy: Policy, config: Config) -> Policy:
    """Nothing is learnt beforehand: the policy that is returned adapts to its inputs by itself."""
    (it,) = run.iterations(1)
    adaptive = run.workflow(policy, answer_adapted, config)
    return it.gate(adaptive, incumbent=policy, tasks=tasks.val)
