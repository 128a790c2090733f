"""CCT: learn to keep right answers and to mend wrong ones when the question is put again.

Paper: "Confidence v.s. Critique: A Decomposition of Self-Correction Capability for LLMs", arXiv 2412.19513.
Code: Zhe-Young/SelfCorrectDecompose (evaluation only). A model answers q, sees its answer a1 and q again, and
answers once more, with no word on whether a1 was right:

    Acc2 = Acc1 * CL + (1 - Acc1) * CS,    CL = P(a2 right | a1 right),    CS = P(a2 right | a1 wrong),

and RSS, which is 0.5 where Acc2 = Acc1 (sharpen.monitors.correction). CCT is SFT on second answers only:
CLT items (q, right a1, q -> a1) and CST items (q, wrong a1, q -> a right answer), rho of them CLT.

Changed: the self-improving loop is ours; `iterations = 1` is the offline form of the paper. A round draws
a1 and a2 from the current policy and sorts them by the verifier. A CST item's right answer is the policy's
own, to the same question, from either turn; without one there is no item. Every arm takes as many steps.
Left out: 4-shot dialogues, adapters, a rule for rho. `before` is one plain answer of the start policy, so the
gain is over what a user had; its Acc2 stands in the rounds' measures, on val.

Expected: CL stays near 1 and CS rises from 0 to about a half, so Acc2 rises far above Acc1 of plain SFT,
which does not rise; CST alone does nearly as well here. The model `offhand` gives the steps after its answer,
so a second answer can use what the first one worked out: this is what there is to learn.
Ablation: `labels = "shuffled"` sorts by verdicts on other answers; `shown = "random"` shows other answers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from enum import StrEnum
from itertools import cycle

from pydantic import Field

from sharpen.core.attempt import Attempt
from sharpen.core.policy import Policy
from sharpen.core.recipe import Need, Setting, recipe
from sharpen.core.records import Record
from sharpen.core.run import Run, Scope
from sharpen.core.task import Channel, Task, TaskSet
from sharpen.core.verdict import Verdict, value_of
from sharpen.curation.asked_again import Pair, Wording, all_asked_again, answered, pairs_of
from sharpen.curation.batch import Batch, Item
from sharpen.learners.sft import SFT, Start
from sharpen.monitors.correction import from_samples


class Train(StrEnum):
    """What is trained on."""

    CCT = "cct"
    """Confidence and critique items."""
    CLT = "clt"
    """Confidence items alone."""
    CST = "cst"
    """Critique items alone."""
    SFT = "sft"
    """Right first answers, as without a second turn."""
    SFT_CCT = "sft+cct"
    """All of them."""


class Shown(StrEnum):
    """Which first answer stands in the dialogues that are trained on."""

    OWN = "own"
    RANDOM = "random"
    """An answer to another question, whatever it is worth."""


class Labels(StrEnum):
    """By what an answer counts as right in training."""

    VERIFIER = "verifier"
    SHUFFLED = "shuffled"
    """The ablation: by the verdict on another answer."""


class Config(Record):
    """Settings of CCT."""

    iterations: int = Field(default=2, ge=1)
    """Rounds; 1 is the paper."""
    samples: int = Field(default=4, ge=1)
    """First answers per task and round (K)."""
    temperature: float = Field(default=1.0, ge=0)
    """Sampling temperature of both answers in training."""
    rho: float = Field(default=0.4, gt=0, lt=1)
    """Share of confidence items in CCT."""
    train: Train = Train.CCT
    """What is trained on."""
    answers: int = Field(default=2, ge=1, le=2)
    """Answers to a question at test; the last one counts."""
    wording: Wording = Wording.NEUTRAL
    """How the question is put again, in training and at test."""
    shown: Shown = Shown.OWN
    """Which first answer stands in the dialogues that are trained on."""
    labels: Labels = Labels.VERIFIER
    """`shuffled` is the ablation."""
    steps: int = Field(default=40, ge=1)
    """Optimizer steps per round, the same for whatever is trained on."""
    lr: float | None = Field(default=None, gt=0)
    """Learning rate; none means the learner's default for the model's size."""


def mixed(clt: Sequence[Attempt], cst: Sequence[Attempt], rho: float) -> list[Attempt]:
    """The most of both kinds among which the first has the share rho."""
    size = min(len(clt) / rho, len(cst) / (1 - rho))
    return [*clt[: round(size * rho)], *cst[: round(size * (1 - rho))]]


def keep_and_mend(pairs: Sequence[Pair], config: Config) -> Batch:
    """CLT: q, right a1, q -> a1. CST: q, wrong a1, q -> a right answer to q from either turn."""
    right: dict[str, list[Attempt]] = defaultdict(list)
    for pair in pairs:
        right[pair.first.task] += [pair.first] * pair.right + [pair.second] * pair.mended
    answers = {task: cycle(found) for task, found in right.items() if found}
    sft = [pair.first for pair in pairs if pair.right]
    clt = [answered(pair.second, pair.first) for pair in pairs if pair.right]
    wrong = [pair for pair in pairs if not pair.right and pair.first.task in answers]
    cst = [answered(pair.second, next(answers[pair.first.task])) for pair in wrong]
    cct = mixed(clt, cst, config.rho)
    chosen = {Train.SFT: sft, Train.CLT: clt, Train.CST: cst, Train.CCT: cct, Train.SFT_CCT: [*sft, *cct]}
    return Batch(items=tuple(Item(attempt=attempt) for attempt in chosen[config.train]))


def seen(first: Sequence[Attempt], config: Config) -> list[Attempt]:
    """The first answers as the dialogues show them: as they are, or in the words of the next question's."""
    if config.shown is Shown.OWN:
        return list(first)
    others = [*first[config.samples :], *first[: config.samples]]
    return [answered(one, other) for one, other in zip(first, others, strict=True)]


def held(it: Scope, verdicts: Sequence[Verdict], config: Config) -> list[Verdict]:
    """What training holds of the answers."""
    if config.labels is Labels.VERIFIER:
        return list(verdicts)
    return it.random("labels").sample(verdicts, len(verdicts))


def answer_twice(scope: Scope, policy: Policy, tasks: Sequence[Task], config: Config) -> tuple[Attempt, ...]:
    """Answer, be asked again, answer: the second one counts. Verdicts on both are only reported."""
    first = scope.attempt(policy, tasks, temperature=0.0)
    again = all_asked_again(tasks, first, config.wording)
    second = scope.attempt(policy, again, temperature=0.0)
    marks, after = scope.judge(first, tasks), scope.judge(second, again)
    found = []
    for attempt, one, two in zip(second, map(value_of, marks), map(value_of, after), strict=True):
        facts = {} if one is None or two is None else {"Acc1": one, "CL" if one > 0.5 else "CS": two}
        found.append(attempt.model_copy(update={"outcome": facts}))
    return tuple(found)


def standing(it: Scope, twice: Policy, tasks: Sequence[Task], when: str) -> dict[str, float]:
    """Acc1, Acc2, CL, CS and RSS of a policy that answers twice."""
    scores = it.evaluate(twice, tasks, name="val")
    firsts = [fact if isinstance(fact := a.outcome.get("Acc1"), float) else None for a in scores.attempts]
    found = from_samples([attempt.task for attempt in scores.attempts], firsts, scores.values)
    return {f"{name} {when}": value for name, value in found.numbers.items()} if found else {}


PLACE = Setting(request={"task": "offhand?level=2", "model": "offhand", "max_tokens": 40})


@recipe(
    paper="arXiv 2412.19513",
    improves="weights",
    sees=Channel.LABEL,
    needs=(Need.TRAIN,),
    home=PLACE.on(train=100, val=16, test=200, control_samples=4).at(steps=20),
    small=PLACE.on(train=8, val=2, test=4, control_samples=2, threads=1).at(steps=2, samples=2),
    demo=PLACE.on(train=50, val=2, test=40, control_samples=2, threads=1).at(iterations=1, steps=16),
    ablation={"labels": "shuffled"},
    claim="Learning to keep right and mend wrong first answers beats plain SFT on as many examples.",
    arms={
        "plain SFT": {"train": "sft", "answers": 1},
        "plain SFT, asked again": {"train": "sft"},
        "confidence only": {"train": "clt"},
        "critique only": {"train": "cst"},
        "random first answers": {"shown": "random"},
        "SFT and CCT": {"train": "sft+cct"},
    },
)
def confidence_critique(run: Run, tasks: TaskSet, policy: Policy, config: Config) -> Policy:
    """Each round: answer, ask again, sort by what became of the answers, train on second answers."""
    learner = SFT(steps=config.steps, lr=config.lr, start=Start.PREVIOUS)
    kept = policy
    for it in run.iterations(config.iterations):
        policy = kept.model_copy(update={"workflow": None})
        first = it.attempt(policy, tasks.train, samples=config.samples, temperature=config.temperature)
        again = all_asked_again(tasks.train, seen(first, config), config.wording)
        second = it.attempt(policy, again, temperature=config.temperature)
        marks, after = it.judge(first, tasks.train), it.judge(second, again)
        pairs = pairs_of(first, held(it, marks, config), second, held(it, after, config))
        candidate = it.update(learner, policy, it.curate(keep_and_mend, pairs, config))
        twice = run.workflow(candidate, answer_twice, config)
        old = standing(it, run.workflow(policy, answer_twice, config), tasks.val, "before")
        it.measure(**old, **standing(it, twice, tasks.val, "after"))
        final = twice if config.answers == 2 else candidate
        kept = it.gate(final, incumbent=kept, tasks=tasks.val)
    return kept
