"""Python programs that a model edits: what a reply may change, what hostile code cannot do, and a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sharpen.actors import python_program
from sharpen.actors.base import Cast, Stage
from sharpen.core.artifact import ArtifactStore, Kind
from sharpen.core.attempt import Attempt
from sharpen.core.policy import GREEDY, Job, Policy
from sharpen.core.seeds import random_for
from sharpen.core.task import Task
from sharpen.core.updater import Stopwatch, Workbench
from sharpen.experiment.check_recipe import StopAfter
from sharpen.experiment.execute import execute
from sharpen.experiment.result import Result
from sharpen.experiment.spec import RunSpec
from sharpen.models.scripted import ScriptedModel
from sharpen.sandbox.process import Limits
from sharpen.search.improver import Brief, DomainReport, Example, fate_of, kinds_of, with_program_of
from sharpen.search.python_editing import ModelEditing, PythonFounding, ordered
from sharpen.stores.archive import Archive, Flag, Node, latest
from sharpen.stores.programs import MAX_FILE, Refused, parse_reply, patched, starter_program

BRIEF = Brief(report={"sum": DomainReport(0.25, (Example("sum: 1+2=? Answer: #### .", "#### 3"),))})
ADDER = """FILE task_agent.py
```python
import re


def answer(question: str) -> str:
    \"\"\"The sum of the numbers.\"\"\"
    form = re.search(r"Answer: (.*)\\.\\.?$", question)[1] if "Answer:" in question else "{}."
    return "#### " + str(sum(int(number) for number in re.findall(r"[-+]?\\d+", question)))
```
"""


def whole(name: str, text: str) -> str:
    return f"FILE {name}\n```python\n{text}```\n"


def part(name: str, old: str, new: str) -> str:
    return f"EDIT {name}\n<<<<<<< SEARCH\n{old}=======\n{new}>>>>>>> REPLACE\n"


# What a reply may change.


def test_a_reply_changes_whole_files_and_parts_and_may_talk_in_between() -> None:
    reply = (
        "I will do this:\n\n"
        + whole("helper.py", "def shout(x):\n    return x.upper()\n")
        + "and then\n\n"
        + part("task_agent.py", "    return question\n", "    return shout(question)\n")
        + "### EDIT `task_agent.py`\n```\n"
        + part("", "def answer", "from helper import shout\n\n\ndef answer")
        .partition("\n")[2]
        .replace("def answer=", "def answer(question: str) -> str:\n=")
        .replace("def answer>", "def answer(question: str) -> str:\n>")
        + "```\nDone."
    )
    new = patched(starter_program(), parse_reply(reply))
    assert sorted(new) == ["helper.py", "meta_agent.py", "task_agent.py"]
    assert "return shout(question)" in new["task_agent.py"]
    assert new["task_agent.py"].index("from helper") < new["task_agent.py"].index("def answer")


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        ("", "holds 0 edits"),
        ("I would rather not.", "holds 0 edits"),
        (whole("../verifiers/exact.py", "x\n"), "not the name of a file"),
        (whole("/etc/passwd", "x\n"), "not the name of a file"),
        (whole("lib/tool.py", "x\n"), "not the name of a file"),
        (whole("..", "x\n"), "not the name of a file"),
        (whole("task_agent.py\x00", "x\n"), "not the name of a file"),
        (whole("run.py", "x\n"), "not the program's"),
        (whole("json.py", "x\n"), "not the program's"),
        (whole("meta_agent.py", "x\n"), "protected"),
        (whole("task_agent.py", "x" * (MAX_FILE + 1) + "\n"), "more than"),
        (whole("task_agent.py", "\ud800\n"), "characters that are none"),
        ("".join(whole(f"file_{n}.py", "x\n") for n in range(9)), "11 files"),
        (whole("task_agent.py", "x\n") * 100, "100 edits"),
        ("x" * 300_000, "300000 characters"),
        ("FILE task_agent.py\nno fence\n", "no fenced contents"),
        ("FILE task_agent.py\n```python\nnever closed\n", "has no line"),
        ("EDIT task_agent.py\n", "no replacement"),
        ("EDIT task_agent.py\n<<<<<<< SEARCH\nx\n", "has no line"),
        (part("task_agent.py", "not there\n", "x\n"), "stands 0 times"),
        (part("task_agent.py", "", "x\n"), "stands 0 times"),
        (part("other.py", "x\n", "y\n"), "stands 0 times"),
        (whole("task_agent.py", "fine\n") + whole("../x.py", "x\n"), "not the name of a file"),
    ],
    ids=range(23),
)
def test_any_other_reply_is_refused_as_a_whole(reply: str, why: str) -> None:
    with pytest.raises(Refused, match=why):
        patched(starter_program(), parse_reply(reply), frozenset({"meta_agent.py"}))


# Children.


def bench(folder: Path, reply: str = "") -> Workbench:
    models = {"policy": ScriptedModel(lambda prompt, seed: reply)}
    return Workbench(ArtifactStore(folder), models, folder, 1, Stopwatch(), lambda done, total, note: None)


def founded(work: Workbench, **files: str) -> Policy:
    named = {f"{name}.py": text for name, text in files.items()}
    founding = PythonFounding(files={**starter_program(), **named})
    return founding.update(work, Policy(model="policy", base="x", actor="python_program"), None).policy


def child(folder: Path, reply: str, *, evolving: bool = True, **files: str) -> tuple[Policy, Policy]:
    work = bench(folder, reply)
    parent = founded(work, **files)
    return parent, ModelEditing(evolving=evolving).update(work, parent, BRIEF).policy


def test_a_child_knows_what_was_changed(tmp_path: Path) -> None:
    parent, made = child(tmp_path, ADDER)
    metadata = made.parts[Kind.PROGRAM].metadata
    assert fate_of(made).flag is None and kinds_of(made) == ("task_agent.py",)
    assert "-    return question" in str(metadata["patch"]) and made.version != parent.version
    assert made.parts[Kind.PROGRAM].parents == (parent.version,)


@pytest.mark.parametrize(
    ("reply", "flag", "why"),
    [
        ("no idea", Flag.EMPTY, "0 edits"),
        (part("task_agent.py", "    return question\n", "    return question\n"), Flag.EMPTY, "nothing"),
        (whole("../../evaluator.py", "x\n"), Flag.EMPTY, "not the name"),
        (whole("task_agent.py", "def answer(:\n"), Flag.INVALID, "task_agent.py does not load: SyntaxError"),
        (whole("task_agent.py", "answer = 3\n"), Flag.INVALID, "defines no function answer"),
        (whole("task_agent.py", "while True:\n    pass\n"), Flag.INVALID, "more than 1 s"),
        (whole("meta_agent.py", "import nothing_of_this_name\n"), Flag.INVALID, "meta_agent.py does not"),
        (whole("task_agent.py", "import os\nos._exit(0)\n"), Flag.INVALID, "ended before"),
    ],
    ids=range(8),
)
def test_a_child_that_cannot_be_used_is_flagged(tmp_path: Path, reply: str, flag: Flag, why: str) -> None:
    parent, made = child(tmp_path, reply)
    assert fate_of(made).flag is flag and why in fate_of(made).detail
    assert (made.version == parent.version) is (flag is Flag.EMPTY)


def test_the_improver_is_edited_only_where_it_evolves(tmp_path: Path) -> None:
    reply = whole("meta_agent.py", "def instructions(brief):\n    return 'Think.'\n")
    parent, made = child(tmp_path, reply)
    assert kinds_of(made) == ("meta_agent.py",)
    assert fate_of(child(tmp_path, reply, evolving=False)[1]).detail == "meta_agent.py is protected"
    kept = with_program_of(parent, made, keep="task_agent.py")
    assert kept.version == made.version


def test_the_programs_own_improver_gives_the_order(tmp_path: Path) -> None:
    work = bench(tmp_path, ADDER)
    own = "def instructions(brief):\n    return 'Score ' + str(brief['report']['sum']['score'])\n"
    ModelEditing(evolving=True).update(work, founded(work, meta_agent=own), BRIEF)
    model = work.models["policy"]
    assert isinstance(model, ScriptedModel) and model.calls[0][0].startswith("user: Score 0.25\n\nReply with")
    first = ordered(starter_program(), BRIEF).answer
    assert "sum: 1+2=?" in first and "#### 3" in first and "def answer" in first and "0.25" in first


@pytest.mark.parametrize(
    "own", ["def instructions(brief):\n    return brief[0]\n", "import os\nos._exit(1)\n"]
)
def test_a_parent_whose_improver_fails_is_barren(tmp_path: Path, own: str) -> None:
    parent, made = child(tmp_path, ADDER, meta_agent=own)
    assert fate_of(made).flag is Flag.BARREN and made.version == parent.version
    assert fate_of(made).detail.startswith("meta_agent.py: ")


def test_a_chain_goes_on_from_the_newest_usable_node(tmp_path: Path) -> None:
    parent, made = child(tmp_path, ADDER)
    archive = Archive(nodes=(Node(number=0, policy=parent, parent=None),))
    archive = archive.with_child(archive.patched(archive.nodes[0], made, ()))
    archive = archive.with_child(archive.patched(archive.nodes[1], parent, (), invalid=True, detail="bad"))
    archive = archive.with_child(archive.patched(archive.nodes[1], made, ()))
    assert [node.flags for node in archive.nodes] == [(), (), (Flag.INVALID,), (Flag.EMPTY,)]
    assert latest(archive.nodes, random_for(1)).number == 1
    barren = archive.flagged(0, Flag.BARREN, "x").flagged(1, Flag.BARREN, "x")
    assert [node.number for node in barren.parents()] == [0]


# Acting.

HOSTILE: dict[str, tuple[str, str]] = {
    "endless": ("def answer(q):\n    while True:\n        pass\n", "took more than 1 s"),
    "stubborn": (
        "import signal\nsignal.setitimer = print\ndef answer(q):\n"
        "    signal.signal(signal.SIGPROF, signal.SIG_IGN)\n    while True: pass\n",
        "deadline",
    ),
    "greedy": ("def answer(q):\n    return len(bytearray(8 << 30))\n", "MemoryError"),
    "writer": (
        "def answer(q):\n    open('{outside}', 'w').write('x')\n    return 'done'\n",
        "Error: [Errno ",
    ),
    "reader": ("def answer(q):\n    return open('{secret}').read()\n", "Error: [Errno "),
    "lister": ("import os\ndef answer(q):\n    return os.listdir('{folder}')\n", "Error: [Errno "),
    "killer": ("import os\ndef answer(q):\n    os.kill(os.getppid(), 9)\n    return 'x'\n", "Permission"),
    "starter": ("import subprocess\ndef answer(q):\n    return subprocess.run(['id']).stdout\n", ""),
    "forger": (
        'import os\nos.write(1, b\'{{"i": 9, "answer": "7", "value": 1.0}}\\n[[[[\')\n'
        "def answer(q):\n    raise KeyError(q)\n",
        "KeyError",
    ),
    "importer": ("import sharpen\ndef answer(q):\n    return sharpen.__file__\n", "ModuleNotFoundError"),
    "leaver": ("import os\ndef answer(q):\n    os._exit(0)\n", "ended before"),
}


def acted(folder: Path, code: str, *questions: str) -> list[Attempt]:
    work = bench(folder)
    policy = founded(work, task_agent=code)
    jobs = [Job(Task.ask(question, "7"), 0, 0) for question in questions]
    return Cast(Stage({}, work.store, Stopwatch())).act(policy, jobs, GREEDY)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_program_is_stopped_and_the_attempt_says_why(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "stubborn":
        monkeypatch.setattr(python_program, "LIMITS", Limits(seconds=1.5, output=1_000_000))
    secret, outside = tmp_path / "val.json", tmp_path / "outside"
    secret.write_text("7")
    code, why = HOSTILE[name]
    if "{" in code:
        code = code.format(secret=secret, outside=outside, folder=tmp_path)
    (attempt,) = acted(tmp_path / "store", code, "3+4?")
    assert attempt.response == "" and attempt.outcome["failed"] == 1.0
    assert why in str(attempt.outcome["failure"]) and attempt.outcome["failure"]
    assert not outside.exists()


def test_one_question_costs_itself_alone_and_a_program_sees_nothing_else(tmp_path: Path) -> None:
    code = "import random\n\ndef answer(q):\n    return 1 // len(q) if len(q) < 2 else random.random()\n"
    fine, empty, drawn, again = acted(tmp_path, code, "1", "", "22", "333")
    assert (fine.response, empty.response) == ("1", "")
    assert "ZeroDivisionError" in str(empty.outcome["failure"])
    assert drawn.response == again.response


# The recipe.


SCRIPT = """
CALLS = []
REPLIES = {replies}


def write(prompt, seed):
    CALLS.append(prompt)
    return REPLIES[min(len(CALLS), len(REPLIES)) - 1]
"""
SOLVER = """import re


def answer(question: str) -> str:
    numbers = [int(number) for number in re.findall(r"[-+]?\\d+", question)]
    if question.startswith("sum"):
        return f"#### {sum(numbers)}"
    if question.startswith("remainder"):
        first, second = re.findall(r"\\d+", question)[:2]
        return f"= {int(first) % int(second)}"
    return "no"
"""


def run(folder: Path, replies: list[str], **settings: int | str) -> Result:
    (folder / "editor.py").write_text(SCRIPT.format(replies=json.dumps(replies)))
    spec = RunSpec(
        recipe="hyperagents",
        task="suite",
        model=f"scripted:{folder}/editor.py:write",
        train=18,
        val=12,
        test=40,
        seed=1,
        control_samples=1,
        threads=1,
        settings={"sample": 1, "k": 0, "iterations": len(replies), **settings},
    )
    return execute(spec, folder / "run", StopAfter(None))


@pytest.mark.parametrize("start", ["bare", "form"])
def test_an_edit_by_the_model_raises_the_sealed_score(tmp_path: Path, start: str) -> None:
    result = run(tmp_path, [whole("task_agent.py", SOLVER)], start=start, sample=5)
    assert result.test.delta.above_zero, result.conclusion
    assert (result.test.before.mean == 0) is (start == "bare")
    assert sorted(result.parts["program"].files) == ["meta_agent.py", "task_agent.py"]
    assert "+    numbers = " in str(result.parts["program"].metadata["patch"])


def test_hostile_children_are_stopped_and_the_run_goes_on_and_says_so(tmp_path: Path) -> None:
    hostile = [HOSTILE[name][0] for name in ("endless", "greedy", "killer")]
    replies = [
        whole("../verifiers/strict.py", "x\n"),
        *(whole("task_agent.py", code) for code in hostile),
        whole("meta_agent.py", "def instructions(brief):\n    return open('/srv/answers')\n"),
        whole("task_agent.py", SOLVER),
    ]
    result = run(tmp_path, replies, parents="random")
    assert result.test.after.mean is not None and result.test.after.mean > 0.4
    flagged = [r.measures["flagged"] for r in result.rounds[: len(replies)]]
    assert flagged == [1, 1, 1, 1, 0, 0]
    assert "not the name of a file" in str(result.rounds[0].learner["detail"])
