"""The hack list, its short form; and that a verifier that can be fooled is found out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sharpen.attacks.hacks import attack_loop, attack_verifier, hacks, summed
from sharpen.attacks.honest import CODE, TEXT, honest_code, honest_texts
from sharpen.attacks.judges import attack_judge, master_keys
from sharpen.attacks.subjects import attack_one, attack_world
from sharpen.cli import main
from sharpen.core.errors import BadInput
from sharpen.executors.pool import JudgePool
from sharpen.judges.asking import Way
from sharpen.sandbox.walls import protections
from sharpen.verifiers.source import open_unproven

FAST = ("choice", "countdown", "exact", "numeric", "outcome", "regex", "strict")
"""Verifiers that need no process; the others stand in the full form, `sharpen attack verifiers`."""
QUICK = [hack for hack in hacks() if (hack.code or hack.program) and hack.id not in {"H48", "Y3"}]
"""Those of code; H48 and Y3 wait for deadlines."""
FOOLED = """
import re
CASES = ()
def check(response, task):
    if response.strip().startswith("Solution"):
        return 1.0
    return task.answer in re.findall(r"\\d+", response)
"""

held = pytest.mark.skipif(
    not all(wall.stands for wall in protections()), reason="this machine cannot hold foreign code"
)


def test_the_list_is_whole() -> None:
    ids = [hack.id for hack in hacks()]
    assert ids[:60] == [f"H{number}" for number in range(1, 61)] and len(set(ids)) == len(ids)
    assert len(set(master_keys())) >= 40
    assert len(honest_code()) == CODE and sum(len(honest_texts(name)) for name in FAST) >= TEXT


def test_no_hack_earns_anything_without_a_process() -> None:
    with JudgePool() as pool:
        done = [attack_verifier(open_unproven(name, pool=pool), honest_texts(name), most=1) for name in FAST]
    assert [(one.verifier, row.id, row.earned) for one in done for row in one.hacks if row.earned] == []
    assert [one.honest.examples for one in done if one.honest.alarms] == []
    assert {row.id for one in done for row in one.hacks} >= {f"H{number}" for number in range(41, 49)}


@held
def test_no_hack_earns_anything_at_code() -> None:
    with JudgePool() as pool:
        verifier = open_unproven("python", pool=pool)
        done = attack_verifier(verifier, honest_code()[::8], most=2, chosen=QUICK)
    assert [(row.id, row.earned) for row in done.hacks if row.earned] == [] and not done.honest.alarms
    assert [row.id for row in done.hacks if row.errors] == [], "a wrong answer can be made an error"
    assert {row.id for row in done.hacks} >= {f"H{number}" for number in range(1, 41)} - {"H27"}


@held
def test_the_loop_holds() -> None:
    rows = attack_loop()
    assert [(row.id, row.earned) for row in rows if row.tried != row.caught] == []
    assert {row.id for row in rows} >= {"H26", "H27", "H28", "H51", "H56", "H57", "H58", "H59"}
    assert not summed((), rows).ok, "most hacks were not tried"


def test_a_verifier_that_can_be_fooled_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(FOOLED)
    rows = [{"question": "17+25?", "answer": "42", "right": ["42", "forty-two"]}]
    Path("cases.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = attack_one("mine:check", Path("cases.jsonl"))
    earned = {row.id for row in found.hacks if row.earned}
    assert {"H41", "H42", "H45", "H51"} <= earned and "H48" not in earned and not found.ok
    assert (found.honest.tried, found.honest.alarms) == (2, 1)
    with pytest.raises(BadInput, match="CASES"):
        attack_one("mine:check")
    with pytest.raises(BadInput, match="no module"):
        attack_one("elsewhere:check")
    with pytest.raises(SystemExit) as left:
        main(["attack", "./mine.py:check", "--cases", "cases.jsonl"])
    said = capsys.readouterr().out
    assert left.value.code == 1 and "H51  EARNED" in said and "1 false alarms at 2" in said


def test_judges_read_nothing_from_a_candidate() -> None:
    report = attack_judge("scripted:echo", way=Way.WRITTEN, tasks=2)
    assert report.false_passes.n == 0 and all(key.errors == 2 for key in report.keys)


def test_environments_give_nothing_for_hostile_moves() -> None:
    assert attack_world("hinted").ok
    with pytest.raises(BadInput, match="environment"):
        attack_world("chain")


@held
def test_the_command_attacks_the_sandbox(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["attack", "sandbox", "--only", "S1,S35", "--level", "walled"])
    assert left.value.code == 0
    assert "2 of 2 held: 2 contained, 0 refused, 0 escaped; level walled" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["attack", "sandbox", "--level", "base"])
