"""Python as a tool: code is run in the sandbox, its output is the tool's turn, and no loss falls on it."""

from __future__ import annotations

import copy
import random
from pathlib import Path

import pytest

from sharpen.actors.base import Cast, Stage
from sharpen.actors.with_python import TURNS, at_desk
from sharpen.core.artifact import ArtifactStore
from sharpen.core.attempt import Attempt, Author, Turn
from sharpen.core.errors import BadInput
from sharpen.core.policy import Decoding, Job, Policy
from sharpen.core.task import Task
from sharpen.core.updater import Stopwatch
from sharpen.environments.base import start
from sharpen.environments.python_tool import NOTHING, SHOWN
from sharpen.executors.pool import JudgePool
from sharpen.learners.batch import example_from
from sharpen.models.scripted import ScriptedModel
from sharpen.sandbox.walls import protections
from sharpen.tasks.source import load_tasks
from sharpen.verifiers.source import open_verifier

pytestmark = pytest.mark.skipif(
    not all(wall.stands for wall in protections()), reason="this machine cannot hold foreign code"
)
TASK = Task.ask("48213*9127=?", "440040051")
GREEDY = Decoding(temperature=0.0)


def fenced(code: str) -> str:
    return f"```python\n{code}\n```"


def reasoner(prompt: str, seed: int) -> str:
    """Writes code first, then says what came out; works it out wrongly in its head where it has no tool."""
    if "48213*9127=?" not in prompt:
        return "#### 0"
    said = prompt.rpartition("Q: ")[2].removesuffix("\nA:")
    return f"#### {said}" if said.isdigit() else "I compute.\n" + fenced("print(48213 * 9127)")


def acted(folder: Path, script: object, tasks: tuple[Task, ...], actor: str = "with_python") -> list[Attempt]:
    model = ScriptedModel(script)  # type: ignore[arg-type]
    cast = Cast(Stage({"m": model}, ArtifactStore(folder), Stopwatch()))
    policy = Policy(model="m", base=model.fingerprint, actor=actor)
    return cast.act(policy, [Job(task, 0, 0) for task in tasks], GREEDY)


def test_code_is_run_and_its_output_goes_into_the_path(tmp_path: Path) -> None:
    with_tool, without = acted(tmp_path, reasoner, (TASK, Task.ask("1=?", "1")))
    assert [turn.author for turn in with_tool.turns] == [
        Author.TEMPLATE, Author.POLICY, Author.TOOL, Author.POLICY
    ]  # fmt: skip
    assert "440040051" in with_tool.turns[2].text and with_tool.turns[3].text == "#### 440040051"
    assert with_tool.task == TASK.key and with_tool.steps == 2
    assert (with_tool.outcome["runs"], with_tool.outcome["value"]) == (1, 1.0)
    assert with_tool.outcome["held"] in ("walled", "isolated")
    assert without.outcome["runs"] == 0 and [turn.author for turn in without.turns][-1] is Author.POLICY
    with JudgePool() as pool:
        verdicts = open_verifier("numeric", pool=pool).judge(
            [(TASK, with_tool), (Task.ask("1=?", "1"), without)], lambda sha: b""
        )
    assert [verdict.value for verdict in verdicts] == [1.0, 0.0]  # type: ignore[union-attr]


class Letters:
    """An encoder of one token per character."""

    eos_id = 0

    def encode(self, text: str) -> tuple[int, ...]:
        return tuple(map(ord, text))

    encode_response = encode


def test_no_loss_falls_on_the_tool(tmp_path: Path) -> None:
    [attempt] = acted(tmp_path, reasoner, (TASK,))
    example = example_from(attempt, Letters())
    pairs = zip(example.response_ids, example.mask, strict=True)
    learnt = "".join(chr(token) for token, weight in pairs if weight and token)
    assert "print(48213 * 9127)" in learnt and learnt.endswith("#### 440040051")
    assert learnt.count("440040051") == 1 and "440040051" in attempt.turns[2].text


def test_an_answer_that_never_comes_ends_after_the_last_move(tmp_path: Path) -> None:
    [attempt] = acted(tmp_path, lambda prompt, seed: fenced("print(1)"), (TASK,))
    assert attempt.policy_turns == TURNS and attempt.outcome["runs"] == TURNS - 1


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        ("print(6 * 7)", "42"),
        ("x = 1", NOTHING),
        ("1/0", "ZeroDivisionError: division by zero"),
        ("print(1)\nopen('/etc/passwd')", "1\n"),
        ("import socket\nsocket.socket()", "PermissionError"),
        ("print('a' * 5000)", "a\n...\na"),
        ("print('\\x1b[2J\\x07hi')", "[2Jhi"),
        ("import random\nprint(random.random())", "0.8444218515250481"),
        ("while True: print('x' * 100)", "standard output"),
        ("if __name__ == '__main__': print('main')", "main"),
    ],
)
def test_what_is_shown(code: str, shown: str) -> None:
    world = start(at_desk(TASK), random.Random(0))
    world.move(fenced(code))
    view = world.view()
    assert view is not None and view.author is Author.TOOL and shown in view.text
    assert len(view.text) <= SHOWN + 300 and "root:" not in view.text


def test_worlds_can_be_copied_and_play_themselves() -> None:
    world = start(at_desk(TASK), random.Random(0))
    other = copy.deepcopy(world)
    while (view := world.view()) is not None:
        world.move(world.scripted(view.role))
    assert world.outcome().value == 1.0 and other.view() is not None


def test_the_family_is_judged_by_its_verifier() -> None:
    tasks = load_tasks("calculations?level=2", train=8, val=4, test=4)
    assert (tasks.actor, tasks.verifier) == ("with_python", "numeric")


def test_a_given_beginning_is_refused(tmp_path: Path) -> None:
    model = ScriptedModel(reasoner)
    cast = Cast(Stage({"m": model}, ArtifactStore(tmp_path), Stopwatch()))
    job = Job(TASK, 0, 0, trace=(Turn(author=Author.POLICY, text="x"),))
    with pytest.raises(BadInput, match="given turns"):
        cast.act(Policy(model="m", base=model.fingerprint, actor="with_python"), [job], GREEDY)
