"""Self-Refine: answer, say what is wrong with the answer, answer again, until nothing is.

Paper: Madaan et al., "Self-Refine: Iterative Refinement with Self-Feedback", arXiv 2303.17651. Code:
madaan/self-refine. No weight changes; one model M generates, criticises and refines, by three prompts:

    y_0 = M(p_gen, x),    fb_t = M(p_fb, x, y_t),    y_{t+1} = M(p_refine, x, y_0, fb_0, ..., y_t, fb_t),

until stop(fb_t, t): the feedback says that nothing is left to do, or t reaches its limit (4).

Changed: who criticises is a setting: the policy's own words (`own`: the paper), the verifier (`verifier`: an
oracle, as in the paper's table of maths with known answers), or `doubt`: the policy answers afresh, and an
answer that comes twice stands. The last is the default, since models of this size cannot write a critique: it
looks at no label either. A word-for-word repetition ends a chain only where nothing is drawn at random. Left
out: few-shot prompts, choosing among the answers by a score.

Expected: answers that stand are right more often than first ones; with doubt not above the vote of as many
independent samples, with the verifier not above their pass@k: refining by a bare word is resampling. Both
stand beside the result as `equal vote` and `equal pass`. Ablation: `feedback = "shuffled"` deals the words
out to other answers, `"constant"` says the same of all.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from pydantic import Field

from sharpen.core.attempt import Attempt
from sharpen.core.policy import Policy
from sharpen.core.recipe import Setting, recipe
from sharpen.core.records import Record
from sharpen.core.run import Run, Scope
from sharpen.core.task import Channel, Task, TaskSet
from sharpen.judges.critics import Asking, Critic, Dealt, Doubting, Judging, Silent
from sharpen.monitors.refinement import watch_refinement
from sharpen.search.refinement import Ended, Memory, Refining, answers_of


class Who(StrEnum):
    """Who criticises."""

    OWN = "own"
    """The policy, in words."""
    DOUBT = "doubt"
    """The policy, by answering afresh."""
    VERIFIER = "verifier"
    """The verifier says whether the answer is right."""


class Feedback(StrEnum):
    """What becomes of what is said."""

    TRUE = "true"
    SHUFFLED = "shuffled"
    """It is said of another answer. The ablation."""
    CONSTANT = "constant"
    """The same is said of every answer, and none stands before the limit."""


class Config(Record):
    """Settings of Self-Refine."""

    turns: int = Field(default=4, ge=0)
    """Most revisions (4)."""
    critic: Who = Who.DOUBT
    """Who criticises."""
    feedback: Feedback = Feedback.TRUE
    """`shuffled` is the ablation."""
    words: str = ""
    """What is said of an answer that may not stand, by critics without words of their own."""
    request: str = "Is this right? Say what is wrong, or say: it is right."
    """How the policy is asked for its words (p_fb)."""
    accept: str = "it is right"
    """Words by which it lets an answer stand."""
    memory: Memory = Memory.ALL
    """Whether all answers so far are in the dialogue, or the last one."""
    temperature: float = Field(default=1.0, ge=0)
    """Of every answer (0.7)."""
    control: bool = True
    """Draw as many independent samples beside, on the tasks of evaluations."""


def critic_of(config: Config) -> Critic:
    """Who says what."""
    critics: dict[Who, Critic] = {
        Who.OWN: Asking(config.request, config.accept),
        Who.DOUBT: Doubting(config.words, config.temperature),
        Who.VERIFIER: Judging(config.words),
    }
    match config.feedback:
        case Feedback.TRUE:
            return critics[config.critic]
        case Feedback.SHUFFLED:
            return Dealt(critics[config.critic])
        case Feedback.CONSTANT:
            return Silent(config.words)


def refine(scope: Scope, policy: Policy, tasks: Sequence[Task], config: Config) -> tuple[Attempt, ...]:
    """Generate, criticise, refine."""
    how = Refining(
        turns=config.turns,
        until=(Ended.ACCEPTED,) if config.temperature else (Ended.ACCEPTED, Ended.UNCHANGED),
        memory=config.memory,
        temperature=config.temperature,
        control=config.temperature if config.control else None,
    )
    return answers_of(scope, policy, tasks, critic_of(config), how)


PLACE = Setting(request={"task": "equation?level=4", "test_temperature": 1.0, "control_samples": 4})


@recipe(
    paper="arXiv 2303.17651",
    improves="answers",
    sees=Channel.LABEL,
    home=PLACE.on(train=1, val=64, test=400),
    small=PLACE.on(task="chain?level=2", train=1, val=2, test=4, control_samples=2, threads=1).at(turns=2),
    demo=PLACE.on(train=1, val=8, test=160, control_samples=2, threads=1).at(control=False),
    ablation={"feedback": "shuffled"},
    claim="Feedback on its own answers and revision make a model's answers better, without any training.",
    arms={
        "first answers": {"turns": 0},
        "constant feedback": {"feedback": "constant"},
        "own words": {"critic": "own"},
        "verifier": {"critic": "verifier"},
    },
)
def self_refine(run: Run, tasks: TaskSet, policy: Policy, config: Config) -> Policy:
    """The start policy, answering by the workflow."""
    final = run.workflow(policy, refine, config)
    (it,) = run.iterations(1)
    watch_refinement(it, final, tasks.val)
    return it.gate(final, incumbent=policy, tasks=tasks.val)
