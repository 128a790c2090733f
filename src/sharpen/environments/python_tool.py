"""A question, and Python as a tool: a block of code is run in the sandbox, and its output is what comes next.

A move that holds a closed block of Python, as its last one, is a run; each run starts anew, knows nothing of
the ones before, and shows its output (turns of the author TOOL, which carry no loss) or the error that ended
it. A move without a block is the answer and ends the episode, as does the last of `turns` moves. What the
answer is worth is a verifier's affair; the outcome's value only says whether the text after its last `####`
is the reference, letter for letter.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import ClassVar

from pydantic import Field

from sharpen.core.attempt import Author
from sharpen.core.dialogue import Call, Tool
from sharpen.core.records import Record
from sharpen.core.task import Task
from sharpen.environments.base import Outcome, View
from sharpen.models.dialogue import text_tool
from sharpen.sandbox.limits import Limits, Ran, Status
from sharpen.sandbox.process import run_python
from sharpen.tasks.arithmetic import evaluate
from sharpen.tasks.code_blocks import python_blocks

LIMITS = Limits(seconds=5.0)
SHOWN = 600
"""Characters of output that are shown; of a longer one its beginning and its end."""
MARK = "####"
NOTHING = "(no output)"
CODE = "code"
PYTHON = text_tool("python", "Run a Python program and see what it prints.", CODE, "The whole program.")
MISCALLED = "raise SystemExit('call python with its code as a text')"
_ENTRY, _FILE = "start.py", "block.py"
# Chance is the same in every run, so that equal moves get equal answers.
_START = b"import random, runpy\nrandom.seed(0)\nrunpy.run_path('block.py', run_name='__main__')\n"


class Desk(Record):
    """Start state of an episode."""

    question: str
    """What is shown first; it may be empty where the task's own question says everything."""
    answer: str = ""
    turns: int = Field(default=4, ge=1)
    """Moves at most."""


@dataclass
class Session:
    """A running episode."""

    desk: Desk
    role: str
    said: list[str] = field(default_factory=list)
    """All moves so far."""
    shown: list[str] = field(default_factory=list)
    """The output of each run."""
    failed: int = 0
    held: str = ""
    """How the last run was held."""
    over: bool = False
    tools: ClassVar[tuple[Tool, ...]] = (PYTHON,)

    def spelt(self, call: Call) -> str:
        """The block that a call stands for; a call without code is told so by the error of its run."""
        code = call.text(CODE) if call.name == PYTHON.name else None
        return f"```python\n{MISCALLED if code is None else code}\n```"

    def view(self) -> View | None:
        """The question, then the output of what was run."""
        if self.over:
            return None
        if not self.said:
            return View(self.role, self.desk.question)
        return View(self.role, self.shown[-1], Author.TOOL)

    def scripted(self, role: str) -> str:
        """A run that works out the question where it is an expression, then its output as the answer."""
        if self.shown:
            return f"{MARK} {self.shown[-1]}"
        expression = self.desk.question.removesuffix("=?")
        return f"```python\nprint({expression})\n```" if evaluate(expression) else f"{MARK} ?"

    def move(self, text: str) -> None:
        """Run the last block, or take the answer."""
        self.said.append(text)
        blocks = python_blocks(text)
        if not blocks or len(self.said) >= self.desk.turns:
            self.over = True
            return
        files = {_ENTRY: _START, _FILE: blocks[-1].encode("utf-8", "replace")}
        ran = run_python(files, _ENTRY, limits=LIMITS)
        self.failed += ran.status is not Status.OK
        self.held = ran.level
        self.shown.append(_shown(ran))

    def outcome(self) -> Outcome:
        """Worth 1 if the answer is the reference to the letter; the facts count runs."""
        final = self.said[-1].rpartition(MARK)[2].strip() if self.said else ""
        return Outcome(
            value=float(bool(final) and final == self.desk.answer),
            facts={
                "runs": len(self.shown),
                "failed_runs": self.failed,
                **({"held": self.held} if self.held else {}),
            },
        )


def _shown(ran: Ran) -> str:
    """Output and error of a run, as short as they may be; nothing in it can pass for a turn of another."""
    output = ran.stdout.strip()
    if ran.status is not Status.OK:
        output = f"{output}\n{ran.reason}".strip()
    if len(output) > SHOWN:
        output = f"{output[: SHOWN // 2]}\n...\n{output[-SHOWN // 2 :]}"
    return "".join(sign for sign in output if sign.isprintable() or sign == "\n") or NOTHING


def start(task: Task, rng: random.Random) -> Session:
    """Start an episode; `task.world` is a `Desk`."""
    return Session(Desk.model_validate(task.world), task.role)
