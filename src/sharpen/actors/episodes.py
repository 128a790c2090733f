"""Episodes in an environment, all in lock-step: one batch of samples per round of moves.

The policy's trace is one document: what the environment shows it, what it says, what it is shown then.
Where the model's tokens are at hand, every move continues exactly the tokens drawn before, so that what is
learnt later is what was sampled.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from sharpen.actors.base import Stage
from sharpen.actors.single_turn import said
from sharpen.core.artifact import Kind
from sharpen.core.attempt import Attempt, Author, Stop, Turn
from sharpen.core.policy import Decoding, Job, Policy, Style
from sharpen.core.seeds import random_for, seed_for
from sharpen.core.task import Message, Role
from sharpen.environments.base import MAX_MOVE, Offers, Retrieves, Searchable, World, start
from sharpen.models.base import Capability, Completion, Encoder, Prompt
from sharpen.models.dialogue import CHAT_MARK
from sharpen.models.loading import load_policy, render_messages
from sharpen.stores.memory import Index, loaded


@dataclass
class Seat:
    """One role's place in an episode: who plays it, and its trace so far."""

    policy: Policy
    seed: int
    messages: tuple[Message, ...]
    turns: list[Turn] = field(default_factory=list)
    stop: Stop = Stop.END

    def show(self, model: Any, text: str, author: Author = Author.ENVIRONMENT) -> None:
        """Append what the role is shown before its move; what stands first is the template's."""
        self.messages = (*self.messages, self._heard(text))
        shown = self._shown(model, text)
        who = author if self.turns else Author.TEMPLATE
        self.turns.append(Turn(author=who, text=shown, token_ids=self._ids(model, shown)))

    def _heard(self, text: str) -> Message:
        """What is shown as a message: the result of a call, where the last move was one."""
        last = self.messages[-1] if self.messages else None
        if last is not None and last.calls:
            return Message(role=Role.TOOL, content=text, answers=last.calls[0].id)
        return Message(role=Role.USER, content=text)

    def _shown(self, model: Any, text: str) -> str:
        """The text that stands between the trace so far and the role's next words."""
        if self.policy.prompt.style is Style.PLAIN:
            head = "\n\n" if self.turns else "".join(f"{m.content}\n\n" for m in self.messages[:-1])
            return f"{head}Q: {text}\nA:"
        whole = render_messages(model, self.messages)
        if self.turns and whole.startswith(CHAT_MARK):
            # A list does not grow at its end, as a text does: its last message is what is new.
            return render_messages(model, self.messages[-1:])
        return whole.removeprefix("".join(turn.text for turn in self.turns))

    def _ids(self, model: Any, text: str) -> tuple[int, ...]:
        if not isinstance(model, Encoder):
            return ()
        return model.encode_response(text) if self.turns else model.encode(text)

    def prompt(self, model: Any, world: World) -> Prompt:
        """What the model continues: exact tokens where they are known, else text, with the world's tools."""
        seed = (seed_for(self.seed, "move", len(self.turns)),)
        if isinstance(model, Encoder):
            return Prompt("", seed, token_ids=tuple(i for turn in self.turns for i in turn.token_ids))
        if self.policy.prompt.style is Style.CHAT:
            tools = (
                world.tools if isinstance(world, Offers) and Capability.TOOLS in model.capabilities else ()
            )
            return Prompt(render_messages(model, self.messages), seed, tools=tools)
        return Prompt("".join(turn.text for turn in self.turns), seed)

    def say(self, sample: Completion, role: str, author: Author = Author.POLICY, *, called: str = "") -> str:
        """Append the role's words; return them as the world gets to see them.

        called: the move that a call of a function means; it stands behind the words.
        """
        text = f"{sample.text}\n{called}".strip() if called else sample.text
        self.turns.append(said(sample._replace(text=text), author, role))
        spoken = Message(role=Role.ASSISTANT, content=sample.text, calls=sample.calls[:1])
        self.messages = (*self.messages, spoken)
        self.stop = sample.stop
        return text.strip()[:MAX_MOVE]


@dataclass
class Episode:
    """A running world with its seats."""

    job: Job
    world: World
    seats: dict[str, Seat]
    moves: int = 0

    def next_seat(self) -> tuple[str, Seat] | None:
        """Play scripted roles until a seated one is to move, and show it what it may see; None at the end."""
        while (view := self.world.view()) is not None:
            if (seat := self.seats.get(view.role)) is not None:
                return view.role, seat
            self.move(self.world.scripted(view.role))
        return None

    def move(self, text: str) -> None:
        """Hand a move to the world."""
        self.world.move(text)
        self.moves += 1


def open_actor(stage: Stage) -> Episodes:
    """The actor, on this stage."""
    return Episodes(stage)


@dataclass(frozen=True)
class Episodes:
    """Plays every job's episode to its end; the trace is that of the policy's own role."""

    moves: ClassVar[bool] = True
    stage: Stage

    def act(self, policy: Policy, jobs: Sequence[Job], decoding: Decoding) -> list[Attempt]:
        """One attempt per job, in order."""
        memory = memory_of(self.stage, policy)
        episodes = [begin(policy, job, decoding, memory) for job in jobs]
        running = episodes
        while running:
            waiting = [(episode, found) for episode in running if (found := episode.next_seat())]
            by_policy: dict[str, list[tuple[Episode, str, Seat]]] = defaultdict(list)
            for episode, (role, seat) in waiting:
                by_policy[seat.policy.version].append((episode, role, seat))
            for group in by_policy.values():
                self._move(group, decoding)
            running = [episode for episode, _ in waiting]
        return [closed(policy, episode, decoding) for episode in episodes]

    def _move(self, group: Sequence[tuple[Episode, str, Seat]], decoding: Decoding) -> None:
        """One move of every episode in which the same policy is to move."""
        player = group[0][2].policy
        model = self.stage.models[player.model]
        for episode, _, seat in group:
            view = episode.world.view()
            assert view is not None
            seat.show(model, view.text, view.author)
        how = decoding._replace(stop=decoding.stop or player.prompt.stop)
        with self.stage.stopwatch:
            load_policy(model, player, self.stage.store)
            results = model.sample([seat.prompt(model, episode.world) for episode, _, seat in group], how)
        for (episode, role, seat), done in zip(group, results, strict=True):
            (sample,) = done.samples
            episode.move(seat.say(sample, role, called=called(episode.world, sample)))


def called(world: World, sample: Completion) -> str:
    """The move that a model's call means; of several in one go the first counts."""
    return world.spelt(sample.calls[0]) if sample.calls and isinstance(world, Offers) else ""


def memory_of(stage: Stage, policy: Policy) -> Index | None:
    """The policy's memory, ready to be searched."""
    artifact = policy.parts.get(Kind.MEMORY)
    return Index.of(loaded(stage.store, artifact)) if artifact else None


def begin(policy: Policy, job: Job, decoding: Decoding, memory: Searchable | None) -> Episode:
    """A new episode. Luck of the world is the sample's own; under greedy moves every policy has the same."""
    luck = job.seed if decoding.temperature else job.index
    world = start(job.task, random_for("world", job.task.key, luck))
    if memory is not None and isinstance(world, Retrieves):
        world.equip(memory)
    players = {job.task.role: policy, **job.rivals}
    seats = {
        role: Seat(player, seed_for(job.seed, role), _opening(player, job, role))
        for role, player in players.items()
    }
    return Episode(job, world, seats)


def _opening(player: Policy, job: Job, role: str) -> tuple[Message, ...]:
    """What a role is told before its first move: instruction, the task's question, its private view."""
    told = [player.prompt.instruction, job.task.question, job.task.views.get(role, "")]
    text = "\n".join(part for part in told if part)
    return (Message(role=Role.SYSTEM, content=text),) if text else ()


def closed(policy: Policy, episode: Episode, how: Decoding) -> Attempt:
    """A finished episode as the attempt of the policy's own role."""
    seat, job, outcome = episode.seats[episode.job.task.role], episode.job, episode.world.outcome()
    return Attempt(
        task=job.task.key,
        index=job.index,
        policy=policy.version,
        turns=tuple(seat.turns),
        stop=seat.stop,
        round=job.round,
        temperature=how.temperature,
        steps=episode.moves,
        outcome={"value": outcome.value, **outcome.facts},
    )
