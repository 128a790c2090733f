"""Libraries of skills, routers, writers of skills, and the actor that answers by them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sharpen.actors.base import Stage
from sharpen.actors.skills import open_actor
from sharpen.core.artifact import ArtifactStore
from sharpen.core.attempt import Attempt
from sharpen.core.errors import BadInput
from sharpen.core.policy import GREEDY, Job, Policy
from sharpen.core.task import Task
from sharpen.core.updater import Stopwatch, Updater, Workbench
from sharpen.curation.alike import kinds
from sharpen.curation.changed_tasks import exchanged, renumbered
from sharpen.learners.router import Pair, Pairs, RouterLearner
from sharpen.learners.skill_edits import EditWriter, chains, patches, program_text, read_lines
from sharpen.learners.skill_writer import Case, ModelWriter, Rewrite, library_of, parsed
from sharpen.models.scripted import ScriptedModel
from sharpen.stores.routing import BM25, PART, open_router, ranked
from sharpen.stores.skills import Install, Library, Skill, leaks, starters
from sharpen.tasks.source import load_tasks

GOOD = 'def solve(question):\n    return question.split(":")[-1].strip().upper()\n'


def skill(name: str, code: str = GOOD, description: str = "Shout words.") -> Skill:
    return Skill(name=name, description=description, code=code)


@pytest.fixture
def bench(tmp_path: Path) -> Workbench:
    store = ArtifactStore(tmp_path / "store")
    return Workbench(store, {}, tmp_path, 1, Stopwatch(), lambda done, total, note: None)


def installed(bench: Workbench, *skills: Skill) -> Policy:
    return Install().update(bench, Policy(model="policy", base="none"), Library(skills=skills)).policy


def answers(bench: Workbench, policy: Policy, *questions: str, index: int = 0) -> list[Attempt]:
    jobs = [Job(task=Task.ask(question, "?"), index=index, seed=1) for question in questions]
    actor = open_actor(Stage(bench.models, bench.store, Stopwatch()))
    return actor.act(policy, jobs, GREEDY)


# A library on disk.


def test_a_library_comes_back_from_its_folder_with_a_persons_edits(tmp_path: Path) -> None:
    library = starters().counted([("add-numbers", True), ("add-numbers", False), ("unknown", True)])
    library.save(tmp_path / "skills")
    assert Library.load(tmp_path / "skills") == library
    edited = tmp_path / "skills" / "add-numbers" / "SKILL.md"
    edited.write_text(
        "---\nname: add-numbers\ndescription: Totals: plus\n---\r\nBe careful.\n", encoding="utf-8"
    )
    (tmp_path / "skills" / "counters.json").unlink()
    again = Library.load(tmp_path / "skills").get("add-numbers")
    assert again is not None
    assert (again.description, again.instructions, again.uses) == ("Totals: plus", "Be careful.", 0)
    with pytest.raises(BadInput, match="holds other things"):
        library.save(tmp_path / "skills")


@pytest.mark.parametrize(
    ("file", "text", "named"),
    [
        ("good/SKILL.md", "no front matter", "good/SKILL.md"),
        ("good/SKILL.md", "---\nname: other\ndescription: x\n---\n", "good/SKILL.md: name"),
        ("good/SKILL.md", "---\nname: good\n---\n", "good/SKILL.md: description"),
        ("good/SKILL.md", "---\nname: good\ndescription: x\ncolour: red\n---\n", "colour: red"),
        ("good/SKILL.md", f"---\nname: good\ndescription: {'x' * 1100}\n---\n", "description"),
        ("good/skill.py", "", "good/skill.py: code"),
        ("Bad Name/SKILL.md", "---\nname: Bad Name\ndescription: x\n---\n", "Bad Name"),
        ("counters.json", '{"good": [1, -2, 0]}', "counters.json: n_fail"),
        ("counters.json", '{"good": 3}', "counters.json"),
        ("counters.json", '{"good": [1e999, 0, 0]}', "counters.json"),
    ],
)
def test_a_wrong_edit_is_named_by_file_and_field(tmp_path: Path, file: str, text: str, named: str) -> None:
    Library(skills=(skill("good"),)).save(tmp_path / "skills")
    path = tmp_path / "skills" / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    (path.parent / "skill.py").touch() if path.name == "SKILL.md" else None
    with pytest.raises(BadInput, match=named):
        Library.load(tmp_path / "skills")


def test_a_folder_without_code_and_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    Library(skills=(skill("good"),)).save(tmp_path / "skills")
    (tmp_path / "skills" / "good" / "skill.py").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadInput, match=r"good/skill\.py"):
        Library.load(tmp_path / "skills")
    (tmp_path / "skills" / "good" / "skill.py").unlink()
    with pytest.raises(BadInput, match="is missing"):
        Library.load(tmp_path / "skills")
    with pytest.raises(BadInput, match="not a folder"):
        Library.load(tmp_path / "nowhere")


def test_utility_is_smoothed_and_names_stay_free() -> None:
    assert skill("a").utility == 0.5
    assert skill("a").model_copy(update={"n_succ": 8}).utility == 0.9
    library = Library(skills=(skill("count-words"),))
    assert library.free_name("Count Words!") == "count-words-2"
    assert library.put(skill("count-words", "new = 1")).skills[0].code == "new = 1"
    with pytest.raises(ValueError, match="one name"):
        Library(skills=(skill("a"), skill("a")))


def test_answers_known_by_heart_are_found() -> None:
    tasks = [
        Task.ask("What is 81333 * 27094?", "2203636302"),
        Task.ask("1+1?", "2"),
        Task.ask("Say stop", "stop"),
    ]
    table = skill("table", 'def solve(question):\n    return "2203636302" if "81333" in question else "2"\n')
    assert leaks(table, tasks) == ("2203636302",)
    assert leaks(skill("good", description="Say stop 2"), tasks) == ()


# Routing.


def test_bm25_ranks_by_shared_words_and_equals_by_utility() -> None:
    library = Library(
        skills=(
            skill("sum", description="Add numbers."),
            skill("zeta", description="Other things").model_copy(update={"n_succ": 5}),
            skill("alpha", description="Strange matters"),
        )
    )
    first, second = ranked(BM25(), library, ["Add the numbers 3 and 4", "qqq"])
    assert first[0] == "sum"
    assert second == ("zeta", "alpha", "sum")


def test_a_router_learns_which_skill_answers_and_learns_the_same_twice(bench: Workbench) -> None:
    policy = installed(bench, skill("one", description="Nothing"), skill("two", description="Void"))
    asked = {"one": "How many letters are in {}?", "two": "Turn {} around."}
    words = ["tree", "house", "river", "cloud", "stone", "bread"]
    pairs = Pairs(
        pairs=tuple(Pair(question=text.format(w), skill=name) for name, text in asked.items() for w in words)
    )
    learnt, again = (RouterLearner().update(bench, policy, pairs).policy for _ in range(2))
    assert learnt.version == again.version
    files = {name: bench.store.get(sha) for name, sha in learnt.parts[PART].files.items()}
    orders = ranked(open_router(files), library_of(bench, policy), [t.format("moon") for t in asked.values()])
    assert [order[0] for order in orders] == ["one", "two"]
    single = Pairs(pairs=pairs.pairs[:3])
    assert RouterLearner().update(bench, policy, single).policy == policy


# Acting.


def test_a_sample_begins_at_its_place_of_the_ranking_and_abstaining_hands_on(bench: Workbench) -> None:
    never = skill("never", "def solve(question):\n    return None\n", "shout")
    policy = installed(bench, never, skill("loud", description="other"))
    (first,), (second,), (third,) = (answers(bench, policy, "shout: hi", index=i) for i in range(3))
    assert (first.response, first.outcome["skill"], first.steps) == ("HI", "loud", 2)
    assert (second.response, second.steps) == ("HI", 1)
    assert (third.response, third.outcome["reason"]) == ("", "there is no further skill")


HOSTILE: dict[str, tuple[str, str]] = {
    "endless": ("def solve(q):\n    while True:\n        pass\n", "took more than 1 s"),
    "stubborn": (
        "import signal\nsignal.setitimer = print\ndef solve(q):\n    signal.alarm(0)\n"
        "    signal.signal(signal.SIGPROF, signal.SIG_IGN)\n    while True: pass\n",
        "deadline",
    ),
    "greedy": ("def solve(q):\n    return len(bytearray(8 << 30))\n", "MemoryError"),
    "writer": ("def solve(q):\n    open('{outside}', 'w').write('x')\n    return 'done'\n", "Error: [Errno "),
    "reader": ("def solve(q):\n    return open('{secret}').read()\n", "Error: [Errno "),
    "killer": (
        "import os, signal\ndef solve(q):\n    os.kill({parent}, signal.SIGKILL)\n    return 'x'\n",
        "",
    ),
    "starter": ("import subprocess\ndef solve(q):\n    return subprocess.run(['id']).stdout\n", ""),
    "forger": (
        "import os\nos.write(1, b'{{\"i\": 9}}\\n[[[[')\ndef solve(q):\n    raise KeyError(q)\n",
        "KeyError",
    ),
    "broken": ("def solve(q:\n", "SyntaxError"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_skill_costs_only_its_own_tasks(
    name: str, bench: Workbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sharpen.actors import skills as actor
    from sharpen.sandbox.process import Limits

    if name == "stubborn":
        monkeypatch.setattr(actor, "LIMITS", Limits(seconds=1.5, output=1_000_000))
    secret, outside = tmp_path / "answers.json", tmp_path / "outside"
    secret.write_text("42")
    code, why = HOSTILE[name]
    code = code.format(secret=secret, outside=outside, parent=os.getpid()) if "{" in code else code
    policy = installed(bench, skill("bad", code, "evil matters"), skill("good", description="Shout words"))
    monkeypatch.setattr(actor, "FALLBACK", 1)
    bad, good = answers(bench, policy, "evil: matters", "Shout words: yes")
    assert (good.response, good.outcome["skill"], good.outcome["failed"]) == ("YES", "good", 0.0)
    assert (bad.response, bad.outcome["skill"], bad.outcome["failed"]) == ("", "bad", 1.0)
    assert bad.outcome["reason"]
    assert why in str(bad.outcome["reason"])
    assert not outside.exists()


# Writing without a model.


def failures(*pairs: tuple[str, str]) -> tuple[Case, ...]:
    return tuple(Case(question=question, right=right) for question, right in pairs)


def test_a_new_skill_is_found_described_and_runs(bench: Workbench) -> None:
    policy = installed(bench, *starters().skills)
    wrong = failures(("What is the gcd of 12 and 18?", "6"), ("What is the gcd of 35 and 14?", "7"))
    updated = EditWriter().update(bench, policy, Rewrite(skill=None, failures=wrong))
    (new,) = (s for s in library_of(bench, updated.policy).skills if s.writes)
    assert "math.gcd(*x)" in new.code
    assert "gcd" in new.description
    assert updated.usage.environment_steps == 40_000
    alone = installed(bench, new)
    assert answers(bench, alone, "What is the gcd of 100 and 75?")[0].response == "25"


def test_a_patch_edits_one_line_under_a_word_and_keeps_the_rest(bench: Workbench) -> None:
    policy = installed(bench, *starters().skills)
    order = Rewrite(
        skill="add-numbers",
        failures=failures(("Multiply 3 by 4", "12"), ("Multiply 5 by 6", "30")),
        keep=failures(
            ("Add 3 to 4", "7"),
        ),
    )
    library = library_of(bench, EditWriter().update(bench, policy, order).policy)
    patched = library.get("add-numbers")
    assert patched is not None
    assert 'math.prod(x) if "multiply" in question.lower() else sum(x)' in patched.code
    assert (patched.writes, patched.uses, len(library)) == (1, 0, 5)


def test_nothing_is_written_where_nothing_fits_or_the_form_is_foreign(bench: Workbench) -> None:
    policy = installed(bench, *starters().skills, skill("foreign"))
    hopeless = failures(("Who wrote it?", "Ada"), ("Who sang it?", "Bob"))
    assert (
        EditWriter(budget=3_000).update(bench, policy, Rewrite(skill=None, failures=hopeless)).policy
        == policy
    )
    foreign = EditWriter().update(bench, policy, Rewrite(skill="foreign", failures=hopeless))
    assert (foreign.policy, foreign.usage.environment_steps) == (policy, 0)


def test_every_candidate_is_a_program_that_reads_back() -> None:
    for program in (*list(chains())[::997], *list(patches(("x.split()", "len(x)"), ("how",)))[::97]):
        assert read_lines(program_text(program)) == program
    assert read_lines(GOOD) == ()


# Writing with a model.

REPLY = """Here it is.
```markdown
---
name: reverse-it
description: Turn a text around.
---
Reads backwards.
```
```python
def solve(question):
    return question.split(":")[-1].strip()[::-1]
```
"""


def write_with(bench: Workbench, reply: str, order: Rewrite, policy: Policy) -> tuple[Policy, str]:
    model = ScriptedModel(lambda prompt, seed: reply)
    work = Workbench(bench.store, {"w": model}, bench.scratch, 1, Stopwatch(), bench.progress)
    writer: Updater = ModelWriter(writer=Policy(model="w", base="w"), max_tokens=5_000)
    updated = writer.update(work, policy, order)
    assert updated.usage.model_calls == 1
    assert "reversed: abc" in model.calls[0][0]
    return updated.policy, str(updated.report.get("problem", ""))


def test_a_model_writes_a_new_skill_and_rewrites_an_old_one(bench: Workbench) -> None:
    policy = installed(bench, skill("loud"))
    wrong = failures(("reversed: abc", "cba"))
    new, _ = write_with(bench, REPLY, Rewrite(skill=None, failures=wrong), policy)
    assert [s.name for s in library_of(bench, new).skills] == ["loud", "reverse-it"]
    old, _ = write_with(bench, REPLY, Rewrite(skill="loud", failures=wrong, keep=wrong), policy)
    (only,) = library_of(bench, old).skills
    assert (only.name, only.writes) == ("loud", 1)
    assert answers(bench, old, "reversed: abc")[0].response == "cba"


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "no blocks",
        REPLY.replace("python", "rust"),
        REPLY.replace("---", "###"),
        REPLY.replace("description", "x"),
        REPLY.replace("Turn", "x" * 2_000),
        REPLY.replace("return", "#" * 50_000),
        REPLY.replace("solve", "\ud800"),
    ],
)
def test_a_reply_without_a_skill_changes_nothing(reply: str) -> None:
    order = Rewrite(skill=None, failures=failures(("reversed: abc", "cba")))
    written, problem = parsed(reply, starters(), order)
    assert written is None
    assert problem


# Tasks.


def test_a_mixture_has_equal_shares_and_each_limits_them() -> None:
    spec = 'mixed?families=["chain?level=3","product","counting","remainder"]'
    tasks = load_tasks(spec, train=8, val=4, test=4)
    assert [sorted({t.family for t in part}) for part in (tasks.train, tasks.val)] == [
        ["chain?level=3", "counting", "product", "remainder"]
    ] * 2
    assert tasks.fingerprint == load_tasks(spec, train=8, val=4, test=4).fingerprint
    bag = load_tasks(f"{spec}&each=1", train=2, val=1, test=1)
    assert len({t.family for t in (*bag.train, *bag.val, *bag.open_test())}) == 4
    with pytest.raises(BadInput, match="only 4 different problems"):
        load_tasks(f"{spec}&each=1", train=8, val=4, test=4)


@pytest.mark.parametrize("families", ["[]", '["chain","chain"]', '["nothing"]', '["rg:nothing"]'])
def test_a_mixture_of_nothing_is_refused(families: str) -> None:
    with pytest.raises(BadInput):
        load_tasks(f"mixed?families={families}", train=2, val=1, test=1)


def test_questions_of_one_wording_are_of_one_kind() -> None:
    asked = [
        "Count the letters in oak.",
        "Add 3 and 4 please",
        "Count the letters in elm.",
        "Add 7 and 9 please",
    ]
    assert kinds(asked) == [0, 1, 0, 1]
    assert kinds(["one thing", "quite another"]) == [0, 1]
    assert kinds([]) == []


def test_exchanged_answers_are_of_other_families_and_other_numbers_of_the_same_question() -> None:
    tasks = [Task.ask(f"q{i}", f"a{i}", family="ab"[i % 2]) for i in range(4)]
    assert [task.answer for task in exchanged(tasks)] == ["a3", "a2", "a1", "a0"]
    copies = renumbered(Task.ask("Add 12 and 305.", "317"))
    assert len(copies) == 4
    assert all(copy.question.startswith("Add ") and len(copy.question) == 15 for copy in copies)
    assert len(renumbered(Task.ask("Say hi.", "hi"))) == 1
