"""STaR: learn from the solutions of one's own that turn out right.

Paper: Zelikman, Wu, Mu, Goodman, "STaR: Bootstrapping Reasoning With Reasoning", arXiv 2203.14465.
The loop is a filtered policy gradient on the reward 1[answer = gold] (their section 3.2):

    grad J = sum_i E_{(r, y) ~ p(. | x_i)} [ 1(y = y_i) * grad log p(r, y | x_i) ]

Each round: sample rationales, keep those whose answer is right, fine-tune on them, starting again from
the base model. With rationalization, tasks that stayed unsolved are tried again with the answer given as
a hint; the hint is removed before training.

What we changed: the paper draws one greedy rationale a task; we draw `samples` at a temperature and keep
up to `per_task` distinct right ones, as its successors do (samples = 1, temperature = 0 is the paper).
The paper grows the number of steps by 20 % a round; here epochs over the kept data do the same, since the
data grow with the solve rate. What we left out: few-shot prompting during sampling is the prompt form's
business, not the recipe's.

Expected: on tasks that the model solves 15 to 50 % of the time, greedy accuracy rises by 10 points and more
in three rounds, most of it in the first; pass@k rises much less; the ablation that keeps wrong solutions too
(`keep="all"`) gains little or nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from pydantic import Field

from sharpen.core.attempt import Attempt, Provenance
from sharpen.core.policy import Policy, PromptForm
from sharpen.core.recipe import Need, recipe
from sharpen.core.records import Record
from sharpen.core.run import Run, Scope
from sharpen.core.task import Channel, Task, TaskSet
from sharpen.core.verdict import Verdict
from sharpen.curation.batch import Batch
from sharpen.curation.select import best_per_task, merged, moved_to, rewards_of, unsolved
from sharpen.learners.sft import SFT, Start
from sharpen.tasks.settings import DEMO, HOME, SMALL, WORDS


class Keep(StrEnum):
    """Which solutions are trained on."""

    RIGHT = "right"
    ALL = "all"
    """The ablation: right and wrong alike, which removes what the method learns from."""


class Config(Record):
    """Settings of STaR."""

    iterations: int = Field(default=3, ge=1)
    """Rounds of the outer loop (N in algorithm 1)."""
    samples: int = Field(default=8, ge=1)
    """Solutions drawn per task and round."""
    temperature: float = Field(default=1.0, ge=0)
    """Sampling temperature."""
    per_task: int = Field(default=4, ge=1)
    """At most so many distinct right solutions per task are trained on."""
    rationalize: bool = False
    """Try unsolved tasks again with the answer as a hint (section 3.3)."""
    start: Start = Start.BASE
    """Fine-tune from the base model each round, as in the paper, or go on from the previous one."""
    keep: Keep = Keep.RIGHT
    """`all` is the ablation."""
    epochs: int = Field(default=3, ge=1)
    """Passes over the kept solutions."""
    lr: float | None = Field(default=None, gt=0)
    """Learning rate; none means the learner's default for the model's size."""


def with_hint(task: Task) -> Task:
    """The task with its answer given away in the question (section 3.3)."""
    message = task.messages[-1]
    hinted = message.model_copy(update={"content": f"{message.content} (answer: {task.answer})"})
    return task.model_copy(update={"messages": (*task.messages[:-1], hinted)})


def hint_removed(
    attempts: Sequence[Attempt], hinted: Sequence[Task], tasks: Sequence[Task], form: PromptForm
) -> tuple[Attempt, ...]:
    """Rationalized attempts under the prompts of their original tasks."""
    original = {hint.key: task for hint, task in zip(hinted, tasks, strict=True)}
    return tuple(moved_to(a, original[a.task], form, Provenance.RATIONALIZED) for a in attempts)


def rationalized(it: Scope, policy: Policy, tasks: Sequence[Task], config: Config) -> Batch:
    """Right solutions that the policy finds when it is told the answers."""
    hinted = tuple(map(with_hint, tasks))
    attempts = it.attempt(policy, hinted, samples=config.samples, temperature=config.temperature)
    verdicts = it.judge(attempts, hinted)
    honest = hint_removed(attempts, hinted, tasks, policy.prompt)
    return it.curate(keep_right, honest, verdicts, config)


def keep_right(attempts: Sequence[Attempt], verdicts: Sequence[Verdict], config: Config) -> Batch:
    """Distinct right solutions, at most `per_task` a task."""
    above = 0.5 if config.keep is Keep.RIGHT else -1.0
    return best_per_task(attempts, rewards_of(verdicts), above=above, per_task=config.per_task)


@recipe(
    paper="arXiv 2203.14465",
    improves="weights",
    sees=Channel.LABEL,
    needs=(Need.TRAIN,),
    acts=WORDS,
    home=HOME.at(iterations=2, samples=2, epochs=2, start="previous"),
    small=SMALL.at(iterations=2, samples=4, epochs=1, rationalize=True),
    demo=DEMO.at(iterations=1, samples=2, epochs=2, start="previous"),
    ablation={"keep": "all"},
    claim="Fine-tuning on self-made solutions that turn out right raises held-out accuracy.",
)
def star(run: Run, tasks: TaskSet, policy: Policy, config: Config) -> Policy:
    """Algorithm 1 of the paper."""
    learner = SFT(epochs=config.epochs, lr=config.lr, start=config.start)
    for it in run.iterations(config.iterations):
        attempts = it.attempt(policy, tasks.train, samples=config.samples, temperature=config.temperature)
        verdicts = it.judge(attempts, tasks.train)
        batch = it.curate(keep_right, attempts, verdicts, config)
        if config.rationalize:
            failed = unsolved(tasks.train, attempts, verdicts)
            batch = merged(batch, rationalized(it, policy, failed, config))
        candidate = it.update(learner, policy, batch)
        policy = it.gate(candidate, incumbent=policy, tasks=tasks.val)
    return policy
