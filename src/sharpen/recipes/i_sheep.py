"""I-SHEEP: a base model writes instructions, follows them, scores itself, and learns from the best, again.

Paper: Liang et al., "I-SHEEP: Self-Alignment of LLM from Scratch through an Iterative Self-Enhancement
Paradigm", arXiv 2408.08072. Code: multimodal-art-projection/I-SHEEP. From a few seed instructions, in round t

    P_t: instructions written by M_t after five seeds, by rules and novelty;    R_t: M_t's answers to them;
    S_t: scores of quality and of following;    D_t = {(p, r): both scores > C};    M_t+1 = SFT(M_0, D_t).

Changed: a score is the judge's expected number of points, scaled to 0..1, for the free text of a small model
cannot be read; C = 0.6 of that for 8 of 10. Sampling with top-p 1, not 0.95. Novelty leaves out what says the
same as an earlier text, not ROUGE-L > 0.7, under which short instructions all look alike. Where paper and
code differ, the judge is the base in every round (the code), not M_t (algorithm 1); `judge` has both. Left
out: chat templates, LoRA, choices of seeds by perplexity.

Expected: scored as drawn, accuracy rises in the first round or two, then is flat; the judge's precision must
lie above the share of right answers. A monitor warns where fewer of the written instructions pass the rules.
Ablation `scores = "shuffled"`: dealt out to other pairs, which is a random filter of the same share.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from statistics import fmean

from pydantic import Field

from sharpen.core.attempt import Attempt
from sharpen.core.policy import Policy
from sharpen.core.recipe import Need, Setting, recipe
from sharpen.core.records import Record
from sharpen.core.run import Run, Scope
from sharpen.core.task import Task, TaskSet
from sharpen.core.verdict import Scored, Verdict
from sharpen.curation.batch import Batch, batch_of
from sharpen.curation.proposals import proposed, requests
from sharpen.judges.opinions import Criterion, Rubric
from sharpen.learners.sft import SFT, Start
from sharpen.monitors.side_effects import lost_skill

CRITERIA = (Criterion("quality", "Is it right?"), Criterion("following", "Has it the right form?"))
POINTS = 5


class Judge(StrEnum):
    """Who scores."""

    BASE = "base"
    CURRENT = "current"


class Scores(StrEnum):
    """What a pair is kept by."""

    OWN = "own"
    SHUFFLED = "shuffled"
    """Those of another pair. The ablation."""
    NONE = "none"
    """Nothing: everything that passes the rules is kept."""


class Config(Record):
    """Settings of I-SHEEP."""

    iterations: int = Field(default=3, ge=1)
    """Rounds (T)."""
    instructions: int = Field(default=500, ge=1)
    """Instructions asked for per round (I = 10,000 that pass)."""
    demos: int = Field(default=5, ge=1)
    """Seeds shown to the writer."""
    C: float = Field(default=0.6, ge=0, le=1)
    """Both scores of a pair that is kept lie above it."""
    judge: Judge = Judge.BASE
    """Who scores."""
    scores: Scores = Scores.OWN
    """What a pair is kept by."""
    start: Start = Start.BASE
    """Which weights a round trains."""
    epochs: int = Field(default=2, ge=1)
    """Passes over a round's pairs."""
    lr: float | None = Field(default=None, gt=0)
    """Learning rate; none means the learner's default for the model's size."""


def passed(verdicts: Sequence[Verdict], threshold: float) -> list[bool]:
    """Whether all scores of a pair lie above the threshold; not where the judge said nothing."""
    names = [one.name for one in CRITERIA]
    return [
        isinstance(v, Scored) and all(float(str(v.evidence[n])) > threshold for n in names) for v in verdicts
    ]


def kept(attempts: Sequence[Attempt], good: Sequence[bool]) -> Batch:
    """The pairs to learn."""
    return batch_of([attempt for attempt, keep in zip(attempts, good, strict=True) if keep])


def chosen(it: Scope, verdicts: Sequence[Verdict], config: Config) -> list[bool]:
    """Which pairs are kept."""
    good = passed(verdicts, config.C)
    match config.scores:
        case Scores.OWN:
            return good
        case Scores.SHUFFLED:
            return it.random("shuffled").sample(good, len(good))
        case Scores.NONE:
            return [True] * len(good)


PLACE = Setting(
    request={"task": "instructions?level=2", "model": "flock", "max_tokens": 12, "test_temperature": 1.0}
)


@recipe(
    paper="arXiv 2408.08072",
    improves="weights",
    sees=(),
    needs=(Need.LOGPROBS, Need.TRAIN),
    home=PLACE.on(train=20, val=60, test=400),
    small=PLACE.on(train=10, val=4, test=8, threads=1).at(iterations=2, instructions=12, epochs=1),
    demo=PLACE.on(train=20, val=16, test=240, threads=1).at(iterations=2, instructions=300),
    ablation={"scores": "shuffled"},
    claim="Writing, answering and scoring itself, a base model improves by what it scores high.",
    arms={
        "no scores": {"scores": "none"},
        "current judge": {"judge": "current"},
        "continued": {"start": "previous"},
        "one go": {"iterations": 1, "instructions": 1500},
    },
)
def i_sheep(run: Run, tasks: TaskSet, policy: Policy, config: Config) -> Policy:
    """Write, answer, score, keep, start again from the base."""
    base, seeds = policy, [task.question for task in tasks.train]
    known, written = list(seeds), list[float]()
    learner = SFT(epochs=config.epochs, lr=config.lr, start=config.start)
    for it in run.iterations(config.iterations):
        asked = requests(seeds, it.random("seeds"), count=config.instructions, shown=config.demos)
        texts = it.curate(proposed, it.attempt(policy, asked), known)
        known += texts
        own = [Task.ask(text, "") for text in texts]
        attempts = it.attempt(policy, own)
        judge = base if config.judge is Judge.BASE else policy
        verdicts = it.judge(attempts, own, verifier=Rubric(judge=judge, criteria=CRITERIA, points=POINTS))
        good = chosen(it, verdicts, config)
        written.append(len(texts) / len(asked))
        it.measure(kept=fmean(good), written=written[-1])
        if warning := lost_skill("the share of instructions that pass the rules", written[0], written[-1]):
            it.warn(warning)
        candidate = it.update(learner, policy, it.curate(kept, attempts, good))
        policy = it.gate(candidate, incumbent=policy, tasks=tasks.val)
    return policy
