"""PRefLexOR: answers that were thought out with a book are preferred to one's own without it.

Paper: Buehler, "PRefLexOR: Preference-based Recursive Language Modeling for Exploratory Optimization of
Reasoning and Agentic Thinking", arXiv 2410.12375. Code: lamm-mit/PRefLexOR. Each round takes fresh questions
about random passages. A teacher reads what retrieval finds, thinks and answers: that is the chosen one. The
rejected one is the policy's own answer, without the book. Phase I has no reference and learns both at once,

    L_I = -log p(chosen) / |chosen| - lambda log sigma(log odds(chosen) - log odds(rejected))        (ORPO)

phase II compares the answers only, masking all up to the last end of a thought, with the policy of phase I as
the reference, z = beta (log-ratio(chosen) - log-ratio(rejected)) and label smoothing e:

    L_II = s(z) (log s(z) - log(1 - e)) + s(-z) (log s(-z) - log e),   s the sigmoid                (EXO)

Changed: questions are drawn from the training tasks, whose answers nobody looks at, so that held-out ones
stay apart. The teacher is a reader of rules: it makes a graph of what BM25 finds, thinks of every
fact about the subject, and answers by the one that is asked for; with `teacher`, a model answers. Left out:
rewriting thoughts at inference.

Expected: facts that were never asked for are answered without the book once they were thought of in other
answers (0.20 to 0.56 at home); those of no passage stay at chance, and so does learning without thoughts. The
odds add nothing: the chosen answers alone do as well.
Ablation `context = "none"`: the teacher answers without the book, and guesses.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from pydantic import Field

from sharpen.core.attempt import Attempt, Provenance
from sharpen.core.budget import Purpose
from sharpen.core.policy import Policy, PromptForm
from sharpen.core.recipe import Need, Setting, recipe
from sharpen.core.records import Record
from sharpen.core.run import Run, Scope
from sharpen.core.task import Channel, Task, TaskSet
from sharpen.curation.pairs import Pair, Pairs, Preferred, Span
from sharpen.curation.select import rewards_of, written
from sharpen.curation.thoughts import CLOSE, explained, thinks
from sharpen.learners.preference import Preference
from sharpen.learners.preference_losses import Shape
from sharpen.learners.reference import Reference
from sharpen.monitors.form import Formed, form_only
from sharpen.stores.knowledge import Library
from sharpen.stores.reading import Context, Lesson, Reading, passages_of, taught
from sharpen.verifiers.answers import final_answer


class Config(Record):
    """Settings of PRefLexOR."""

    phase_1: int = Field(default=14, ge=0)
    """Rounds of phase I (50)."""
    phase_2: int = Field(default=2, ge=0)
    """Rounds of phase II (50)."""
    items: int = Field(default=48, ge=1)
    """Questions per round (50)."""
    epochs: int = Field(default=4, ge=1)
    """Passes over a round's pairs (3)."""
    top: int = Field(default=3, ge=1)
    """Passages that retrieval finds."""
    context: Context = Context.BOOK
    """What the teacher looks at."""
    teacher: str = ""
    """A model that answers with the passages before it; the reader if there is none."""
    thinking: bool = True
    """Chosen answers begin with a thought."""
    only_wrong: bool = False
    """Leave pairs out whose answers are the same."""
    fresh: bool = True
    """Rejected answers are of the policy as it is, not as it was before the first round."""
    masked: bool = True
    """Phase II looks at what comes after the thought only."""
    beta_1: float = Field(default=0.1, gt=0)
    """Weight of the odds in phase I (lambda); next to nothing, it learns the chosen answers alone."""
    beta_2: float = Field(default=0.1, gt=0)
    """Sharpness of the comparison in phase II (0.1 to 0.5)."""
    lr_1: float = Field(default=2e-3, gt=0)
    """Learning rate of phase I (5e-5 with adapters)."""
    lr_2: float = Field(default=2e-4, gt=0)
    """Learning rate of phase II (1e-6)."""


def imitated(config: Config) -> Preference:
    """Phase I."""
    return Preference(
        shape=Shape.ORPO, likelihood=1.0, beta=config.beta_1, lr=config.lr_1, epochs=config.epochs
    )


def compared(reference: Policy, config: Config) -> Preference:
    """Phase II."""
    return Preference(
        shape=Shape.EXO,
        smoothing=0.005,
        beta=config.beta_2,
        lr=config.lr_2,
        epochs=config.epochs,
        reference=Reference.FIXED,
        fixed=reference.weights,
    )


def preferred(
    tasks: Sequence[Task],
    own: Sequence[Attempt],
    lessons: Sequence[Lesson | None],
    form: PromptForm,
    config: Config,
    second: bool,
) -> Pairs:
    """The teacher's answers over the policy's own where both differ."""
    span = Span.AFTER if second and config.masked else Span.WHOLE
    found = []
    for task, attempt, lesson in zip(tasks, own, lessons, strict=True):
        said = final_answer(attempt.response)
        if lesson is None or (config.only_wrong and said and said.text == lesson.answer):
            continue
        text = explained(lesson.facts, lesson.answer, thinking=config.thinking)
        better = written(task, form, text, policy=attempt.policy, provenance=Provenance.DISTILLED)
        compared_words = attempt.response.rpartition(CLOSE)[2] if span is Span.AFTER else attempt.response
        if compared_words.strip() and text != attempt.response.strip():
            found.append(Pair(better=better, worse=attempt, by=Preferred.ORIGIN, span=span, marker=CLOSE))
    return Pairs(items=tuple(found))


def watched(it: Scope, policy: Policy, told: Sequence[Task], untold: Sequence[Task]) -> Formed:
    """Record how many facts are known, of passages and of none, and how many answers think."""
    place = it.scope("watch", purpose=Purpose.EVALUATION)
    asked = (*told, *untold)
    attempts = place.attempt(policy, asked, temperature=0.0)
    values = [value or 0.0 for value in rewards_of(place.judge(attempts, asked))]
    known = {"told": values[: len(told)], "untold": values[len(told) :]}
    formed = fmean(thinks(attempt.response) for attempt in attempts)
    it.measure(formed=formed, **{name: fmean(some) for name, some in known.items() if some})
    return Formed(formed, fmean(known["told"]))


PLACE = Setting(request={"task": "passages?creatures=24&unknown=16", "model": "scribe", "max_tokens": 40}).on(
    train=88, val=8, test=40
)


@recipe(
    paper="arXiv 2410.12375",
    improves="weights",
    sees=Channel.TEACHER,
    needs=(Need.TRAIN,),
    home=PLACE,
    small=PLACE.on(task="passages?creatures=4&unknown=2", train=14, val=2, test=6, threads=1).at(
        phase_1=1, phase_2=1, items=6, epochs=1
    ),
    demo=PLACE.on(threads=1).at(phase_1=8, phase_2=1),
    ablation={"context": "none"},
    claim="Preferring thought-out answers with a book to one's own makes one answer better without the book.",
    arms={
        "without thoughts": {"thinking": False},
        "chosen alone": {"beta_1": 1e-9},
        "phase I alone": {"phase_1": 16, "phase_2": 0},
        "stale rejected": {"fresh": False},
        "whole answers": {"masked": False},
    },
)
def preflexor(run: Run, tasks: TaskSet, policy: Policy, config: Config) -> Policy:
    """Ask, look up, think, prefer; first without a reference, then the answers alone."""
    told = [task for task in tasks.train if passages_of(task)]
    untold = [task for task in tasks.train if not passages_of(task)]
    library = Library.of(text for task in told for text in passages_of(task))
    helper = run.helper(config.teacher) if config.teacher else None
    first, learner = policy, imitated(config)
    how = Reading(context=config.context, top=config.top)
    before = watched(run.scope("before"), policy, tasks.val, untold)
    for it in run.iterations(config.phase_1 + config.phase_2):
        second = it.round > config.phase_1
        if it.round == config.phase_1 + 1:
            learner = compared(policy, config)
        asked = it.random("questions").sample(told, min(config.items, len(told)))
        own = it.attempt(policy if config.fresh else first, asked)
        lessons = taught(it, library, asked, how, helper)
        pairs = it.curate(preferred, asked, own, lessons, policy.prompt, config, second)
        if pairs.items:
            policy = it.gate(it.update(learner, policy, pairs), incumbent=policy, tasks=tasks.val)
        if warning := form_only(before, watched(it, policy, tasks.val, untold)):
            it.warn(warning)
    return policy
