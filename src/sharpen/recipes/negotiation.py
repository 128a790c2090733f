"""ICL-AIF: a player bargains again and again with its old games and a critic's advice before its eyes.

Paper: Fu, Peng, Khot, Lapata, "Improving Language Model Negotiation with Self-Play and In-Context Learning
from AI Feedback", arXiv 2305.10142. Code: FranxYao/GPT-Bargaining. All models stay frozen; what grows is one
player's context. With d_i the dialogue and P_i the price of game i, and the rival reset before every game:

    a_i = critic(d_i),   c_{i+1} = c_i + [d_i, a_i, "beat P_i"],   d_{i+1} = PLAY(player(c_{i+1}), rival)

A chain stops at the first game without a deal, as in the code; its last game is what counts. A price
is a mean over chains that still deal; the deal rate and the unconditional surplus E[gain * deal] go with it.

Changed: moves are rule-checked (`OFFER 70`, `ACCEPT`, `WALK`) instead of read by a moderator model; illegal
ones are wasted turns. The rival is a script with a hidden limit. The critic is a coach of rules with one
piece of advice a game, or any model (`critic`); the paper asks for three. The player is a shipped decoder of
0.25 M parameters, trained on transcripts in which advice matters: no small language model bargains from a
prompt; an API model can go by the rules in the task. Play is greedy (`temperature`), so the first game of a
chain is the very game that `before` measures. Left out: canned praise between games.
Where paper and code differ: the paper samples 3 human suggestions, the code one line; neither is used here.

Expected: with the critic the price rises for 2 to 4 rounds, the deal rate falls, the unconditional surplus
peaks early. Ablation (`feedback="constant"`): empty words and the same target price change nothing; nor does
history alone. Advice from another game (`shuffled`) fits one time in four: about half of the gain. The player
`bargainer-weak`, trained where advice and play were drawn apart, gains later, less, and without losing deals.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from statistics import fmean
from typing import NamedTuple

from pydantic import Field, JsonValue

from sharpen.core.attempt import Attempt
from sharpen.core.errors import BadInput
from sharpen.core.policy import Policy, PromptForm
from sharpen.core.recipe import Pick, Setting, recipe
from sharpen.core.records import Record
from sharpen.core.run import Run, Scope
from sharpen.core.task import Channel, Task, TaskSet
from sharpen.environments.bargaining_coach import advice_on, remembered
from sharpen.models.form import default_form

PLACE: Mapping[str, JsonValue] = {"task": "bargaining", "model": "bargainer", "max_tokens": 8}
RULES = "rules"
EMPTY_WORDS = "Can you do better?"
COACH = "Give one piece of advice for the next game, in one sentence, general, and naming no price."
ADVICE_LIMIT = 400
"""Characters of a critic's advice that a player gets to read."""


class Feedback(StrEnum):
    """What a player is told of a finished game, beside its dialogue and the price to beat."""

    CRITIC = "critic"
    NONE = "none"
    """History only."""
    CONSTANT = "constant"
    """The same empty words after every game."""
    SHUFFLED = "shuffled"
    """The critic's advice on another game."""


WORDS = {Feedback.NONE: "", Feedback.CONSTANT: EMPTY_WORDS}


class Config(Record):
    """Settings of ICL-AIF."""

    rounds: int = Field(default=5, ge=1)
    """Games of a chain, the first one included (n_rollout)."""
    feedback: Feedback = Feedback.CRITIC
    """`constant` is the ablation."""
    critic: str = RULES
    """`rules`, or the spec of a model that reads the dialogue."""
    temperature: float = Field(default=0.0, ge=0)
    """Sampling temperature of the player; 0 is greedy."""


class Chain(NamedTuple):
    """Games of one player against one rival."""

    task: Task
    """The next game, with the earlier ones in the player's private view."""
    games: tuple[Attempt, ...] = ()

    @property
    def goes_on(self) -> bool:
        """Whether every game so far ended in a deal."""
        return not self.games or "price" in self.games[-1].outcome

    @property
    def dialogue(self) -> str:
        """What was said in the last game."""
        return str(self.games[-1].outcome["dialogue"])

    @property
    def attempt(self) -> Attempt:
        """The chain as one attempt: the trace of all games, the outcome of the last."""
        turns = tuple(turn for game in self.games for turn in game.turns)
        steps = sum(game.steps for game in self.games)
        return self.games[-1].model_copy(update={"turns": turns, "steps": steps})


def check_game(task: Task, config: Config) -> None:
    """Refuse a task that is no game, or that the coach of rules does not know."""
    coached = config.critic == RULES and config.feedback not in WORDS
    if not task.environment or (coached and task.environment != "bargaining"):
        remedy = "take the task bargaining, or another game with critic=MODEL"
        raise BadInput("task", task.environment or task.family, "is no game for this critic", remedy=remedy)


def reminded(chain: Chain, advice: str) -> Chain:
    """The chain with its last game, the advice and the price to beat put into the player's context."""
    task, number = chain.task, len(chain.games)
    price = float(str(chain.games[-1].outcome["price"]))
    memory = remembered(number, task.role, chain.dialogue, price, advice)
    views = {**task.views, task.role: f"{task.views[task.role]}\n{memory}"}
    return chain._replace(task=task.model_copy(update={"views": views}))


def criticised(scope: Scope, chains: Sequence[Chain], config: Config) -> list[str]:
    """The critic's advice on the last game of every chain."""
    if config.critic == RULES:
        return [advice_on(chain.task, chain.dialogue) for chain in chains]
    form = PromptForm(style=default_form(config.critic).style, instruction=COACH)
    questions = [Task.ask(f"You coach the {c.task.role}. Its last game: {c.dialogue}.", "") for c in chains]
    answers = scope.attempt(scope.helper(config.critic, prompt=form), questions, temperature=0.0)
    return [" ".join(answer.response.split())[:ADVICE_LIMIT] for answer in answers]


def told(scope: Scope, chains: Sequence[Chain], config: Config) -> list[str]:
    """What every player is told of its last game."""
    if config.feedback in WORDS:
        return [WORDS[config.feedback]] * len(chains)
    said = criticised(scope, chains, config)
    if config.feedback is Feedback.CRITIC:
        return said
    return [*said[1:], said[0]] if len(said) > 1 else [EMPTY_WORDS]


def next_game(scope: Scope, policy: Policy, chains: Sequence[Chain], config: Config) -> tuple[Chain, ...]:
    """One more game in every chain that goes on, after feedback on its last one."""
    going = [chain for chain in chains if chain.goes_on]
    if going and going[0].games:
        feedback = told(scope, going, config)
        going = [reminded(chain, advice) for chain, advice in zip(going, feedback, strict=True)]
    tasks = [chain.task for chain in going]
    attempts = scope.attempt(policy, tasks, temperature=config.temperature)
    scope.judge(attempts, tasks)
    played = (chain._replace(games=(*chain.games, a)) for chain, a in zip(going, attempts, strict=True))
    return tuple(next(played) if chain.goes_on else chain for chain in chains)


def icl_aif(scope: Scope, policy: Policy, games: Sequence[Task], config: Config) -> tuple[Attempt, ...]:
    """Answer every game by a chain of games."""
    chains = tuple(Chain(game) for game in games)
    for it in scope.iterations(config.rounds):
        chains = next_game(it, policy, chains, config)
    return tuple(chain.attempt for chain in chains)


def results(chains: Sequence[Chain]) -> dict[str, float]:
    """Deal rate and surplus over all chains; the price over those with a deal."""
    outcomes = [chain.games[-1].outcome for chain in chains]
    prices = [float(str(outcome["price"])) for outcome in outcomes if "price" in outcome]
    surplus = fmean(float(str(outcome["surplus"])) for outcome in outcomes)
    given = {"price if deal": fmean(prices)} if prices else {}
    return {"deal": len(prices) / len(chains), "surplus": surplus, **given}


@recipe(
    paper="arXiv 2305.10142",
    improves="context",
    sees=Channel.EXECUTION,
    home=Setting(request={**PLACE, "train": 100, "val": 32, "test": 120, "control_samples": 5}),
    small=Setting(
        request={**PLACE, "train": 4, "val": 2, "test": 2, "control_samples": 2, "threads": 1},
        config={"rounds": 3},
    ),
    demo=Setting(request={**PLACE, "train": 16, "val": 8, "test": 40}, config={"rounds": 2}),
    ablation={"feedback": "constant"},
    claim="In-context advice from a critic moves the price in the player's favour, at the cost of deals.",
    arms={
        "history only": {"feedback": "none"},
        "constant words": {"feedback": "constant"},
        "advice from another game": {"feedback": "shuffled"},
    },
    pick=Pick.BEST,
)
def negotiation(run: Run, tasks: TaskSet, policy: Policy, config: Config) -> Policy:
    """Show round by round what the procedure does to prices; hand it over as the policy."""
    check_game(tasks.train[0], config)
    chains = tuple(Chain(task) for task in tasks.train)
    for it in run.iterations(config.rounds):
        chains = next_game(it, policy, chains, config)
        it.measure(**results(chains))
    return run.gate(run.workflow(policy, icl_aif, config), incumbent=policy, tasks=tasks.val)
