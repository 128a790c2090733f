"""The command line as a user meets it: real output on real models, and one-line errors for bad input."""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from sharpen.cli import main
from sharpen.core.journal import read_rows
from sharpen.verifiers import source

SIZES = ["--train", "12", "--val", "6", "--test", "6"]
COST = {"samples": 2, "iterations": 1, "epochs": 1, "control-samples": 2, "threads": 1}
SMALL = [*SIZES, *(word for name, value in COST.items() for word in (f"--{name}", str(value)))]


class Done(NamedTuple):
    """How a command ended, and what it printed."""

    returncode: int
    stdout: str
    stderr: str


def sharpen(*words: str, cwd: Path | None = None) -> Done:
    """A command in this process: it prints what it would print in one of its own, without the start-up."""
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.chdir(cwd or Path.cwd()),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main(words)
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
    return Done(code, out.getvalue(), err.getvalue())


def process(*words: str) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own."""
    program = "from sharpen.cli import main; main()"
    return subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True)


def refused(*words: str, cwd: Path | None = None) -> str:
    """The error line of a command that must be refused."""
    done = sharpen(*words, "--json", cwd=cwd)
    assert done.returncode == 2, done.stdout + done.stderr
    line = done.stderr.strip().splitlines()[-1]
    assert line.startswith("error: ") and "->" in line
    assert json.loads(done.stdout)["remedy"]
    return line


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli") / "run"
    done = process("run", "star", "--task", "chain?level=2", "--out", str(folder), "--json", *SMALL)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == json.loads((folder / "result.json").read_text())
    return folder


def test_a_result_has_all_it_promises(run: Path) -> None:
    result = json.loads((run / "result.json").read_text())
    for name in ("before", "after", "delta"):
        assert {"mean", "low", "high", "n"} <= result["test"][name].keys()
    for name in ("no_update", "more_samples"):
        assert {"mean", "low", "high", "n"} <= result["controls"][name].keys()
    assert {"budget", "wall_seconds", "model_time_share", "coverage", "channels"} <= result.keys()
    assert result["test"]["openings"] == 1


def test_the_same_command_again_changes_nothing(run: Path) -> None:
    before = (run / "result.json").read_text()
    done = sharpen("run", "star", "--task", "chain?level=2", "--out", str(run), *SMALL)
    assert done.returncode == 0, done.stderr
    head = json.loads(before)["journal_head"]
    assert json.loads((run / "result.json").read_text())["journal_head"] == head


def test_changes_are_refused_by_name_unless_forked(run: Path) -> None:
    words = ["run", "star", "--task", "chain?level=2", "--out", str(run), *SMALL, "--temperature", "0.7"]
    assert "config.temperature: 1.0 -> 0.7" in refused(*words)
    assert sharpen(*words, "--fork").returncode == 0
    forked = run.with_name("run.fork-1")
    assert (forked / "result.json").is_file()
    taken = [row for row in read_rows(forked) if row.entry.usage.model_calls and not row.wall.model_seconds]
    assert taken, "what the change does not touch costs no model time"


def test_looking_at_runs(run: Path, tmp_path: Path) -> None:
    listed = json.loads(sharpen("runs", "--folder", str(run.parent), "--json").stdout)
    assert listed[0]["state"] == "done"
    # The usual folder need not be there before the first run.
    assert sharpen("runs", cwd=tmp_path).stdout.startswith("no runs in runs;")
    shown = sharpen("show", str(run))
    assert "control: no update" in shown.stdout and "majority of 2" in shown.stdout
    attempts = json.loads(sharpen("show", str(run), "--task", "", "--json").stdout)
    assert {"step", "attempt", "verdict"} <= attempts[0].keys()


def test_export_is_a_plain_model_and_evaluates(run: Path, tmp_path: Path) -> None:
    target = tmp_path / "improved"
    assert sharpen("export", str(run), str(target)).returncode == 0
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(target)
    tokenizer = AutoTokenizer.from_pretrained(target)
    ids = tokenizer("Q: 12+3=?\nA:", return_tensors="pt")
    assert model.generate(**ids, max_new_tokens=4, do_sample=False).shape[1] > ids["input_ids"].shape[1]
    report = sharpen("eval", "--model", str(target), "--task", "chain?level=1", *SIZES, "--json")
    assert json.loads(report.stdout)["shots"] == 0


def test_a_users_own_file_and_verifier(tmp_path: Path) -> None:
    rows = [{"question": f"{n}-{n // 2}=?", "answer": str(n - n // 2)} for n in range(10, 90)]
    (tmp_path / "my.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "grade.py").write_text(
        "def grade(response, task):\n    return response.split('####')[-1].strip() == task.answer\n"
    )
    for verifier in ("numeric", "./grade.py:grade"):
        done = sharpen(
            *("run", "star", "--task", "./my.jsonl", "--verifier", verifier, "--out", verifier[-5:]),
            *("--max-tokens", "24", *SMALL),
            cwd=tmp_path,
        )
        assert done.returncode == 0, done.stderr


def test_a_task_file_is_checked_by_the_fields_that_a_run_takes(tmp_path: Path) -> None:
    file = tmp_path / "rechnen.csv"
    file.write_text("Frage,Antwort\n" + "".join(f"{n}+{n * n}=?,{n + n * n}\n" for n in range(60)))
    fields = ("--question-field", "Frage", "--answer-field", "Antwort")
    done = sharpen("check", "task", str(file), *fields)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "fields there are: Frage, Antwort" in refused("check", "task", str(file))
    assert "only task files have fields" in refused("check", "verifier", "exact", *fields)


def test_the_list_of_recipes_says_what_each_needs_and_found(tmp_path: Path) -> None:
    results = Path(__file__).parent.parent / "results"
    told = json.loads(sharpen("recipes", "--results", str(results), "--json").stdout)
    by_slug = {one["slug"]: one for one in told}
    assert by_slug["star"]["verdict"] == "reproduced" and by_slug["star"]["date"]
    assert "episodes" in by_slug["grpo"]["acts"] and by_slug["itercomp"]["acts"] == ["painter"]
    assert by_slug["grpo"]["needs"] == ["logprobs", "train"] and by_slug["grpo"]["sees"] == ["label"]
    bare = json.loads(sharpen("recipes", "--results", str(tmp_path), "--json").stdout)
    assert all(one["verdict"] is None and one["paper"] and one["summary"] for one in bare)


def test_dry_run_predicts_and_stops(tmp_path: Path) -> None:
    done = sharpen("run", "b-star", "--task", "chain", "--dry-run", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["usage"]["sampled_tokens"] > 0
    assert not list(tmp_path.iterdir())


def test_a_budget_ends_the_run_cleanly_and_more_goes_on(tmp_path: Path) -> None:
    words = ["run", "star", "--task", "chain?level=2", "--out", "r", *SMALL]
    first = sharpen(*words, "--budget", "sampled_tokens=60", "--chunk-rows", "8", "--json", cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    assert json.loads(first.stdout)["stopped_by"] == "sampled_tokens"
    second = sharpen("resume", "r", "--budget", "sampled_tokens=1e9", "--json", cwd=tmp_path)
    assert second.returncode == 0, second.stderr
    assert json.loads(second.stdout)["stopped_by"] is None
    assert json.loads(second.stdout)["test"]["openings"] == 2


def test_a_gate_that_accepts_nothing_is_not_taken_for_nothing_learnt(tmp_path: Path) -> None:
    words = ["run", "star", "--task", "chain?level=2", "--out", "r", *SMALL, "--gate", "enforce"]
    done = sharpen(*words, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["conclusion"].startswith("The gate accepted no candidate")


BAD = {
    "missing file": ["run", "star", "--task", "nothing.jsonl"],
    "wrong field": ["run", "star", "--task", "good.jsonl", "--answer-field", "solution"],
    "malformed line": ["run", "star", "--task", "bad.jsonl"],
    "empty split": ["run", "star", "--task", "one.jsonl"],
    "unknown family": ["run", "star", "--task", "chains"],
    "unknown dial": ["run", "star", "--task", "chain?depth=3"],
    "unknown recipe": ["run", "stars", "--task", "chain"],
    "unknown model": ["run", "star", "--task", "chain", "--model", "no/such/folder/here"],
    "unknown verifier": ["run", "star", "--task", "chain", "--verifier", "numerics"],
    "a verifier that raises": ["run", "star", "--task", "chain", "--verifier", "broken.py:grade"],
    "a verifier that hangs": ["run", "star", "--task", "chain", "--verifier", "broken.py:hang"],
    "unreachable endpoint": ["run", "star", "--task", "chain", "--model", "openai:m@http://127.0.0.1:9/v1"],
    "unknown option": ["run", "star", "--tusk", "chain"],
    "more tasks than can be held": ["run", "star", "--task", "chain", "--dry-run", "--train", "100000000000"],
    "value out of range": ["run", "star", "--task", "chain", "--samples", "0"],
    "bad budget": ["run", "star", "--task", "chain", "--budget", "sampled_token=2"],
    "model without weights": ["run", "grpo", "--task", "chain", "--model", "none"],
    "a script that is to be trained": ["run", "star", "--task", "chain", "--model", "scripted:digits"],
    "forbidden channel": ["run", "star", "--task", "chain", "--forbid", "label"],
    "no run there": ["show", "nowhere"],
    "no folder of runs there": ["runs", "--folder", "r/none"],
    "nothing to resume": ["resume", "nowhere"],
}


@pytest.fixture(scope="module")
def bad_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bad")
    good = [json.dumps({"question": f"{n}+1=?", "answer": str(n + 1)}) for n in range(100)]
    (folder / "good.jsonl").write_text("\n".join(good))
    (folder / "one.jsonl").write_text(good[0])
    (folder / "bad.jsonl").write_text("\n".join([*good[:6], "{oops", *good[6:]]))
    (folder / "broken.py").write_text(
        "def grade(response, task):\n    raise KeyError('x')\n\n"
        "def hang(response, task):\n    while True: pass\n"
    )
    return folder


@pytest.mark.parametrize("what", sorted(BAD))
def test_bad_input_is_one_line_with_a_remedy(
    what: str, bad_files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if what == "a verifier that hangs":
        monkeypatch.setattr(source, "DEADLINE", 2.0)
    line = refused(*BAD[what], cwd=bad_files)
    if what == "malformed line":
        assert "7" in line
    assert not (bad_files / "runs").exists()


@pytest.mark.parametrize(
    "words, told, kept",
    [
        (("run", "star", "--frobnicate", "3"), "settings of star: --iterations, --samples, ", "Did you mean"),
        (("run", "star", "--iteration=3"), "--iteration. Did you mean --iterations?", "=3"),
        (("eval", "--iterations", "3"), "`sharpen eval --help` shows", "Did you mean"),
        (("eval", "--sample", "3"), "Did you mean --samples?", "settings of"),
    ],
)
def test_an_unknown_option_is_told_a_close_one_or_none(words: tuple[str, ...], told: str, kept: str) -> None:
    line = refused(*words)
    assert told in line and kept not in line


def test_of_a_run_that_is_not_there_only_the_error_is_said(tmp_path: Path) -> None:
    done = sharpen("resume", "r/nope", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: there is no run in r/nope")


def test_two_processes_on_one_run(run: Path) -> None:
    from sharpen.core.journal import Journal

    held = Journal(run)
    try:
        assert "in use" in refused("resume", str(run))
    finally:
        held.close()


def test_a_damaged_store_is_refused_and_repaired(run: Path) -> None:
    victim = max((p for p in (run / "store").rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    data = victim.read_bytes()
    victim.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert "--repair" in refused("export", str(run), str(run / "improved"))
    assert sharpen("resume", str(run), "--repair").returncode == 0
    assert victim.read_bytes() == data
