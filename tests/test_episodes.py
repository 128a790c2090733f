"""Episodes: exact tokens from move to move, roles and rivals, and no effect of who plays beside whom."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from sharpen.actors.base import Cast, Stage
from sharpen.core.artifact import ArtifactStore
from sharpen.core.attempt import Attempt, Author
from sharpen.core.errors import BadInput
from sharpen.core.policy import Decoding, Job, Policy, PromptForm, Style
from sharpen.core.task import Message, Role, Task
from sharpen.core.updater import Stopwatch
from sharpen.environments.base import start
from sharpen.learners.batch import example_from
from sharpen.models.hf import HFModel
from sharpen.models.scripted import ScriptedModel
from sharpen.models.source import open_model

COUNTDOWN = '''"""Two roles say things in turn; the first to move is `first`; over after `moves` moves."""
from sharpen.environments.base import Outcome, View

class World:
    def __init__(self, task, rng):
        self.left, self.said, self.luck = task.world["moves"], [], rng.randrange(1000)

    def view(self):
        if self.left == 0:
            return None
        role = ("first", "second")[len(self.said) % 2]
        return View(role, f"{self.left} left, last: {self.said[-1] if self.said else 'nothing'}")

    def scripted(self, role):
        return f"script of {role}"

    def move(self, text):
        self.said.append(text)
        self.left -= 1

    def outcome(self):
        return Outcome(value=1.0, facts={"said": self.said, "luck": self.luck})


def start(task, rng):
    return World(task, rng)
'''


@pytest.fixture(scope="module")
def world_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("worlds") / "countdown_world.py"
    path.write_text(COUNTDOWN)
    return str(path)


@pytest.fixture(scope="module")
def tiny() -> HFModel:
    model = open_model("tiny", threads=1)
    assert isinstance(model, HFModel)
    return model


def task(world_file: str, moves: int = 4, role: str = "first") -> Task:
    return Task(
        messages=(Message(role=Role.USER, content="Count down."),),
        answer="",
        environment=world_file,
        world={"moves": moves},
        role=role,
        views={"first": "You are first.", "second": "You are second."},
    )


def act(
    models: dict[str, object], jobs: list[Job], folder: Path, *, style: Style = Style.PLAIN, how: float = 1.0
) -> list[Attempt]:
    policy = Policy(model="policy", base="b", prompt=PromptForm(style=style), actor="episodes")
    cast = Cast(Stage(models, ArtifactStore(folder), Stopwatch()))
    return cast.act(policy, jobs, Decoding(temperature=how, max_tokens=8))


def test_recorded_tokens_are_one_document_with_true_logprobs(
    world_file: str, tiny: HFModel, tmp_path: Path
) -> None:
    jobs = [Job(task(world_file), index, seed=100 + index) for index in range(3)]
    for attempt in act({"policy": tiny}, jobs, tmp_path):
        assert [turn.author for turn in attempt.turns] == [
            Author.TEMPLATE,
            Author.POLICY,
            Author.ENVIRONMENT,
            Author.POLICY,
        ]
        for place, turn in enumerate(attempt.turns):
            if turn.author is Author.POLICY:
                before = tuple(i for t in attempt.turns[:place] for i in t.token_ids)
                (again,) = tiny.logprobs([(before, turn.token_ids)])
                assert turn.logprobs == pytest.approx(again, abs=1e-3)
        example = example_from(attempt, tiny)
        assert sum(example.mask) == attempt.token_count
        assert example.length == sum(len(turn.token_ids) for turn in attempt.turns)


def test_an_episode_does_not_depend_on_its_neighbours(world_file: str, tiny: HFModel, tmp_path: Path) -> None:
    jobs = [
        Job(task(world_file, moves), index, seed=index) for index, moves in enumerate((2, 4, 6, 3), start=1)
    ]
    together = act({"policy": tiny}, jobs, tmp_path)
    alone = [act({"policy": tiny}, [job], tmp_path)[0] for job in jobs]
    assert [a.turns[1].text for a in together] == [a.turns[1].text for a in alone]
    assert [a.outcome for a in together] == [a.outcome for a in alone]
    assert [a.steps for a in together] == [2, 4, 6, 3]


def test_roles_without_a_policy_are_scripted_and_rivals_take_their_place(
    world_file: str, tmp_path: Path
) -> None:
    models: dict[str, object] = {
        "policy": ScriptedModel(lambda prompt, seed: "mine"),
        "rival": ScriptedModel(lambda prompt, seed: "theirs" if "You are second." in prompt else "blind"),
    }
    rival = Policy(model="rival", base="r")
    jobs = [
        Job(task(world_file), 0, seed=1),
        Job(task(world_file), 0, seed=1, rivals={"second": rival}),
        Job(task(world_file, role="second"), 0, seed=1),
    ]
    said = [attempt.outcome["said"] for attempt in act(models, jobs, tmp_path)]
    assert said[0] == ["mine", "script of second"] * 2
    assert said[1] == ["mine", "theirs"] * 2
    assert said[2] == ["script of first", "mine"] * 2


def test_no_role_sees_the_other_roles_view(world_file: str, tmp_path: Path) -> None:
    prompts: list[str] = []

    def script(prompt: str, seed: int) -> str:
        prompts.append(prompt)
        return "x"

    act({"policy": ScriptedModel(script)}, [Job(task(world_file), 0, seed=1)], tmp_path)
    assert all("You are first." in prompt and "second." not in prompt for prompt in prompts)
    assert "3 left" not in prompts[1] and "2 left, last: script of second" in prompts[1]


def test_chat_style_renders_the_conversation(world_file: str, tmp_path: Path) -> None:
    model = ScriptedModel(lambda prompt, seed: f"move {prompt.count('user:')}")
    (attempt,) = act({"policy": model}, [Job(task(world_file), 0, seed=1)], tmp_path, style=Style.CHAT)
    assert attempt.response == "move 1\nmove 2"


def test_greedy_episodes_meet_the_same_luck_whatever_the_seed(world_file: str, tmp_path: Path) -> None:
    model = ScriptedModel(lambda prompt, seed: "x")
    jobs = [Job(task(world_file), 0, seed=seed) for seed in (1, 2)]
    greedy = [a.outcome["luck"] for a in act({"policy": model}, jobs, tmp_path, how=0.0)]
    drawn = [a.outcome["luck"] for a in act({"policy": model}, jobs, tmp_path)]
    assert greedy[0] == greedy[1] and drawn[0] != drawn[1]


def test_an_unknown_environment_is_named(world_file: str) -> None:
    with pytest.raises(BadInput, match="no such environment"):
        start(task("nowhere"), random.Random(0))
