"""Self-Refine: answer, say what is wrong with the answer, answer again, until nothing is.

Paper: Madaan et al., "Self-Refine: Iterative Refinement with Self-Feedback", arXiv 2303.17651. Code:
madaan/self-refine. No weight changes; one model M generates, criticises and refines, by three prompts:

    y_0 = M(p_gen, x),    fb_t = M(p_fb, x, y_t),    y_{t+1} = M(p_refine, x, y_0, fb_0, ..., y_t, fb_t),

until stop(fb_t, t): the feedback says that nothing is left to do, or t reaches its limit (4).

Changed: who criticises is a setting. `own` is the paper; `verifier` says whether the answer is right, an
oracle like that of the paper's table on maths; `doubt` answers afresh, and an answer that comes twice stands.
The last two say no more than a bare word. A revision that changes nothing ends a chain, too, where nothing is
drawn at random. The dialogue holds the last answer alone (`history = "all"` is the paper). Left out: few-shot
prompts, choosing among the answers by a score.

The paper's models can criticise and heed criticism; `mender` is a small one that was taught both, and to mend
nothing without a word. It accepts no answer: its chains end where an answer stays as it is. With a model that
was taught neither quality falls by turn: `tiny`, with `doubt` and four turns on equation?level=4 at
temperature 1, goes from 0.42 to 0.25, and a monitor warns.

Expected: refined answers are right far more often than first ones (0.09 to 0.99), and than any of as many
independent samples (`equal pass`, 0.14). Ablation: `feedback = "shuffled"` deals the words out to other
answers, `"constant"` says the same of all.
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
from sharpen.core.task import SINGLE_TURN, Channel, Task, TaskSet
from sharpen.judges.critics import Asking, Critic, Dealt, Doubting, Silent, Verifying
from sharpen.monitors.refinement import watch_refinement
from sharpen.search.refinement import Ended, History, Refining, answers_of


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
    """The same is said of every answer, and none is accepted."""


class Config(Record):
    """Settings of Self-Refine."""

    turns: int = Field(default=4, ge=0)
    """Most revisions (4)."""
    critic: Who = Who.OWN
    """Who criticises."""
    feedback: Feedback = Feedback.TRUE
    """`shuffled` is the ablation."""
    words: str = ""
    """What is said of an answer that may not stand, by critics without words of their own."""
    request: str = "Is this right? Say what is wrong, or say: it is right."
    """How the policy is asked for its words (p_fb)."""
    accept: str = "it is right"
    """Words by which it lets an answer stand."""
    history: History = History.LAST
    """Whether all answers so far are in the dialogue, or the last one."""
    temperature: float = Field(default=0.0, ge=0)
    """Of every answer (0.7)."""
    control: float | None = Field(default=1.0, gt=0)
    """Temperature of as many independent samples, drawn beside in evaluations; none draws none."""


def critic_of(config: Config) -> Critic:
    """Who says what."""
    critics: dict[Who, Critic] = {
        Who.OWN: Asking(config.request, config.accept),
        Who.DOUBT: Doubting(config.words),
        Who.VERIFIER: Verifying(config.words),
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
        history=config.history,
        temperature=config.temperature,
        control=config.control,
    )
    return answers_of(scope, policy, tasks, critic_of(config), how)


PLACE = Setting(
    request={"task": "offhand?level=2", "model": "mender", "max_tokens": 40, "control_samples": 4},
    config={"request": "right?", "accept": "yes"},
)


@recipe(
    paper="arXiv 2303.17651",
    improves="answers",
    sees=Channel.LABEL,
    acts=(SINGLE_TURN, "with_python"),
    home=PLACE.on(train=1, val=32, test=200),
    small=PLACE.on(train=1, val=2, test=4, control_samples=2, threads=1).at(turns=2),
    demo=PLACE.on(train=1, val=8, test=40, control_samples=2, threads=1).at(control=None),
    ablation={"feedback": "shuffled"},
    claim="Feedback on its own answers and revision make a model's answers better, without any training.",
    arms={
        "constant feedback": {"feedback": "constant"},
        "verifier": {"critic": "verifier", "words": "no"},
        "doubt": {"critic": "doubt"},
    },
)
def self_refine(run: Run, tasks: TaskSet, policy: Policy, config: Config) -> Policy:
    """The start policy, answering by the workflow."""
    final = run.workflow(policy, refine, config)
    (it,) = run.iterations(1)
    watch_refinement(it, final, tasks.val)
    return it.gate(final, incumbent=policy, tasks=tasks.val)
