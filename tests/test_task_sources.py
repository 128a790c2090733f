"""Task sets from families, files and reasoning-gym: deterministic, distinct, split cleanly, or refused."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sharpen.core.errors import BadInput, Unavailable
from sharpen.core.spec import Spec, dials
from sharpen.core.task import Task, TaskSet
from sharpen.executors.pool import JudgePool
from sharpen.tasks import reasoning_gym, source
from sharpen.tasks.check import check_task
from sharpen.tasks.duplicates import clusters
from sharpen.tasks.source import actor_of, family_names, load_tasks
from sharpen.verifiers.check import prove_on
from sharpen.verifiers.source import open_verifier

SMALL = {"train": 8, "val": 4, "test": 4}
FAMILY = '''
"""Twice a number."""
from sharpen.tasks.base import Problem

def generate(rng, *, level: int = 2, word: str = "twice"):
    number = rng.randrange(10**level)
    return Problem(f"{word} {number}=?", (f"{number}+{number}={2 * number}",), str(2 * number))
'''


@pytest.fixture(scope="module")
def pool() -> Iterator[JudgePool]:
    with JudgePool(workers=1) as opened:
        yield opened


@pytest.fixture
def family(tmp_path: Path) -> Path:
    file = tmp_path / "doubling.py"
    file.write_text(FAMILY)
    return file


def parts(tasks: TaskSet) -> tuple[tuple[Task, ...], ...]:
    return tasks.train, tasks.val, tasks.open_test()


def everything(tasks: TaskSet) -> list[Task]:
    return [task for part in parts(tasks) for task in part]


# Specs


@given(
    st.text("abc_./:", min_size=1, max_size=9),
    st.dictionaries(st.text("abcxyz_", min_size=1, max_size=6), st.text(max_size=12), max_size=4),
)
def test_a_spec_reads_back_as_it_was_written(name: str, options: dict[str, str]) -> None:
    spec = Spec(name, options)
    assert Spec.parse(str(spec), kind="thing") == spec


@pytest.mark.parametrize("text", ["", "?a=1", "x?a", "x?=1", "x?a=1&a=2", "x?a=1&", "  "])
def test_malformed_specs_are_refused(text: str) -> None:
    with pytest.raises(BadInput):
        Spec.parse(text, kind="thing")


def test_options_become_values_of_their_types() -> None:
    def generate(
        rng: random.Random, *, level: int = 2, share: float = 0.5, signs: tuple[str, ...] = ()
    ) -> None: ...

    accepted = dials(generate)
    assert list(accepted) == ["level", "share", "signs"]
    bound = Spec.parse('x?level=3&share=0.25&signs=["+","-"]', kind="t").bind(accepted, kind="t")
    assert bound == {"level": 3, "share": 0.25, "signs": ("+", "-")}
    for wrong in ("level=three", "level=3.5", "share=x", "signs=+", "signs=[1]"):
        with pytest.raises(BadInput, match="give a value of type"):
            Spec.parse(f"x?{wrong}", kind="t").bind(accepted, kind="t")


# Families


def test_generated_sets_are_deterministic_distinct_and_disjoint(family: Path) -> None:
    first, second = (load_tasks(f"{family}?level=3", **SMALL) for _ in range(2))
    assert first.fingerprint == second.fingerprint
    assert first.sizes == SMALL and first.verifier == "numeric"
    questions = [task.question for task in everything(first)]
    assert len(set(questions)) == len(questions)
    assert all(task.family == "doubling" for task in first.train)


def test_only_the_data_seed_and_the_dials_change_a_set(family: Path) -> None:
    specs = [f"{family}", f"{family}?data_seed=1", f"{family}?level=3", f"{family}?word=double"]
    assert len({load_tasks(spec, **SMALL).fingerprint for spec in specs}) == len(specs)
    by_seed = load_tasks(f"{family}", seed=1, **SMALL)
    assert by_seed.fingerprint == load_tasks(specs[1], **SMALL).fingerprint
    assert by_seed.fingerprint == load_tasks(specs[1], seed=5, **SMALL).fingerprint


def test_more_training_tasks_leave_the_held_out_ones_alone(family: Path) -> None:
    small, large = (load_tasks(f"{family}", train=train, val=4, test=4) for train in (8, 20))
    assert small.val == large.val and small.open_test() == large.open_test()
    assert large.train[:8] == small.train


def test_a_space_that_is_too_small_says_how_small(family: Path) -> None:
    with pytest.raises(BadInput, match="only 10 different problems, and 16 are wanted"):
        load_tasks(f"{family}?level=1", **SMALL)
    assert load_tasks(f"{family}?level=1", train=6, val=2, test=2).sizes["train"] == 6


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("{}?lavel=3", "legal: level, word"),
        ("{}?level=x", "integer"),
        ("nope", "one of: "),
        ("./not_there.py", "no such file"),
        ("base", "no such task family"),
        ("chain?level=99", "outside"),
        ("./not_there.jsonl", "no such file"),
        ("data/mine.json", "give a .jsonl file .*a .csv file, or a .py file"),
        ("mine.txt?data_seed=1", "give a .jsonl file"),
    ],
)
def test_bad_task_specs_are_refused(spec: str, said: str, family: Path) -> None:
    with pytest.raises(BadInput, match=said):
        load_tasks(spec.format(family))


def test_a_file_of_another_kind_is_no_unknown_family(tmp_path: Path) -> None:
    file = tmp_path / "mine.data"
    file.write_text("[]")
    for open_it in (load_tasks, actor_of):
        with pytest.raises(BadInput, match=r"give a \.jsonl file"):
            open_it(str(file))


def test_files_without_a_generator_and_empty_splits_are_refused(tmp_path: Path, family: Path) -> None:
    (tmp_path / "other.py").write_text("x = 1\n")
    with pytest.raises(BadInput, match="no function `generate`"):
        load_tasks(str(tmp_path / "other.py"))
    (tmp_path / "pairs.py").write_text("def generate(rng): return ('1+1', '2')\n")
    with pytest.raises(BadInput, match="made a tuple"):
        load_tasks(str(tmp_path / "pairs.py"))
    with pytest.raises(BadInput, match="every split needs a task"):
        load_tasks(str(family), train=1, val=0, test=1)
    with pytest.raises(BadInput, match="only files have fields"):
        load_tasks(str(family), answer_field="x")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1\ndef generate(rng:\n", "line 2 raises SyntaxError"),
        ("import random\nraise ValueError('mine')\n", "line 2 raises ValueError: mine"),
        ("def generate(rng):\n    return 1 / 0\n", "line 2 raises ZeroDivisionError"),
        ("def generate(rng):\n    import json\n    json.loads('no')\n", "line 3 raises JSONDecodeError"),
    ],
)
def test_a_file_that_raises_is_refused_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "mine.py").write_text(text)
    with pytest.raises(BadInput, match=said):
        load_tasks(str(tmp_path / "mine.py"))


@pytest.mark.parametrize("name", sorted(family_names()))
def test_every_family_passes_its_check(name: str, pool: JudgePool) -> None:
    report = check_task(name, open_verifier=partial(open_verifier, pool=pool), prove=prove_on)
    assert report.failures == ()


# Files


def write(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def sums(count: int, **more: Any) -> list[dict[str, Any]]:
    return [{"question": f"What is {n} plus {n + 1}?", "answer": 2 * n + 1, **more} for n in range(count)]


def test_jsonl_is_split_by_content(tmp_path: Path) -> None:
    rows = sums(400)
    first = load_tasks(write(tmp_path / "a.jsonl", rows), train=999, val=999, test=999)
    again = load_tasks(write(tmp_path / "b.jsonl", rows[::-1]), train=999, val=999, test=999)
    grown = load_tasks(write(tmp_path / "c.jsonl", sums(500)), train=999, val=999, test=999)
    assert sum(first.sizes.values()) == 400 and first.verifier == "numeric"
    assert (
        200 < first.sizes["train"] < 280 and 35 < first.sizes["val"] < 90 and 65 < first.sizes["test"] < 140
    )
    questions = [{task.question for task in part} for part in parts(first)]
    assert questions == [{task.question for task in part} for part in parts(again)]
    assert all(
        old <= {task.question for task in part} for old, part in zip(questions, parts(grown), strict=True)
    )


def test_sizes_are_upper_limits_for_files(tmp_path: Path) -> None:
    tasks = load_tasks(write(tmp_path / "a.jsonl", sums(100)), train=10, val=5, test=7)
    assert tasks.sizes == {"train": 10, "val": 5, "test": 7}


def test_a_split_column_is_respected(tmp_path: Path) -> None:
    rows = [{**row, "split": ("train", "validation", "TEST")[n % 3]} for n, row in enumerate(sums(30))]
    tasks = load_tasks(write(tmp_path / "a.jsonl", rows))
    assert tasks.sizes == {"train": 10, "val": 10, "test": 10}
    assert [task.question for task in tasks.train] == [row["question"] for row in rows[::3]]
    assert "split" not in tasks.train[0].metadata


def test_csv_with_byte_order_mark_quotes_and_other_names(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    body = "".join(f'"Say ""{n}"", please",word{n},note\r\n' for n in range(60))
    file.write_bytes(b"\xef\xbb\xbf" + f"Prompt,target,extra\r\n{body}".encode())
    tasks = load_tasks(str(file))
    task = tasks.train[0]
    assert task.question.startswith('Say "') and task.answer.startswith("word")
    assert dict(task.metadata) == {"extra": "note"} and tasks.verifier == "exact"
    swapped = load_tasks(str(file), question_field="target", answer_field="extra")
    assert swapped.train[0].answer == "note"


def test_worked_answers_and_choices(tmp_path: Path, pool: JudgePool) -> None:
    worked = [{**row, "answer": f"add them\n#### {row['answer']}"} for row in sums(60)]
    tasks = load_tasks(write(tmp_path / "a.jsonl", worked))
    assert tasks.verifier == "numeric" and (tasks.train[0].solution or "").startswith("add them")
    assert prove_on(open_verifier(tasks.verifier, pool=pool), tasks.train).ok
    rows = [{"question": f"Pick {n}", "answer": "AB"[n % 2], "choices": f"one|{n}"} for n in range(60)]
    chosen = load_tasks(write(tmp_path / "b.jsonl", rows))
    assert chosen.verifier == "choice"
    assert prove_on(open_verifier(chosen.verifier, pool=pool), chosen.train).ok


def test_duplicates_are_merged_and_counted(tmp_path: Path) -> None:
    rows = sums(60)
    again = [{**row, "question": "  " + row["question"].upper()} for row in rows[:7]]
    tasks = load_tasks(write(tmp_path / "a.jsonl", rows + again + [{**rows[0], "answer": 99}]))
    assert len(everything(tasks)) == 60
    assert "8 repeated questions were left out" in tasks.notes
    assert "1 of them had another answer than the first" in tasks.notes


LONG = "The old lighthouse keeper of {place} counts the ships that pass his window every {day} " * 3


def near_rows() -> list[dict[str, Any]]:
    rows = []
    for n in range(80):
        text = (
            LONG.format(place=f"Port{chr(97 + n % 26)}{chr(97 + n // 26)}", day="day")
            + f"and saw {n}. How many?"
        )
        rows += [{"question": text, "answer": n}, {"question": text.replace("?", " ?!"), "answer": n}]
    return rows


def test_near_duplicates_stay_on_one_side(tmp_path: Path) -> None:
    tasks = load_tasks(write(tmp_path / "a.jsonl", near_rows()), train=999, val=999, test=999)
    assert any("80 near-duplicates" in note for note in tasks.notes)
    sides = [{task.question.replace(" ?!", "?") for task in part} for part in parts(tasks)]
    assert not sides[0] & sides[1] and not sides[0] & sides[2] and not sides[1] & sides[2]


def test_near_duplicates_across_a_given_split_are_left_out_of_training(tmp_path: Path) -> None:
    rows = [
        {**row, "split": "train" if n % 2 else ("val", "test")[n % 4 // 2]}
        for n, row in enumerate(near_rows())
    ]
    rows += [{"question": f"another question about {n}", "answer": n, "split": "train"} for n in range(5)]
    tasks = load_tasks(write(tmp_path / "a.jsonl", rows))
    assert tasks.sizes == {"train": 5, "val": 40, "test": 40}
    assert "80 near-duplicates of held-out tasks were left out of train" in tasks.notes


@settings(max_examples=50)
@given(st.lists(st.lists(st.sampled_from(["a", "b", "c", "d", "1", "2"]), max_size=12), max_size=25))
def test_clusters_agree_with_comparing_all_pairs(word_lists: list[list[str]]) -> None:
    texts = [" ".join(words) for words in word_lists]

    def same(one: list[str], other: list[str]) -> bool:
        first, second = (Counter(zip(["", *words], [*words, ""], strict=True)) for words in (one, other))
        digits = [[word for word in words if word.isdigit()] for words in (one, other)]
        return digits[0] == digits[1] and (first & second).total() >= 0.9 * (first | second).total()

    expected = list(range(len(texts)))
    for place, words in enumerate(word_lists):
        for other in range(place):
            if same(words, word_lists[other]) and expected[place] != expected[other]:
                low, high = sorted((expected[place], expected[other]))
                expected = [low if root == high else root for root in expected]
    assert clusters(texts) == expected


def test_other_numbers_make_another_question() -> None:
    text = "word " * 60
    assert clusters([f"{text}3", f"{text}4", f"{text}3!", f"{text}34"]) == [0, 1, 0, 3]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "no rows"),
        (b"\n\n", "no rows"),
        (b'{"question": "a", "answer": 1}\n{"question": ', ":2 = ?.*is not JSON|a.jsonl:2"),
        (b"[1]\n", "not a JSON object"),
        (b'{"question": "a", "answer": NaN}\n', "NaN is not JSON"),
        (b'{"question": "a"}\n', "fields there are: question"),
        (b'{"question": "a", "answer": null}\n', "answer is None"),
        (b'{"question": "a", "answer": [1]}\n', "not a text or a number"),
        (b'{"question": " ", "answer": 1}\n', "question is empty"),
        (b'{"question": "\xff", "answer": 1}\n', "not UTF-8"),
        (b'{"question": "a", "answer": 1, "split": "holdout"}\n', "write train, val or test"),
        (b'{"question": "a", "answer": 1, "split": "val"}\n', "no task falls to train, test"),
        (
            b'{"question": "a", "answer": 1, "split": "val"}\n{"question": "b", "answer": 1}\n',
            "some rows have no split",
        ),
        (b'{"question": "a", "answer": 1}\n{"question": "b", "answer": 2}\n', "no task falls to"),
        (b'{"question": "' + b"a" * 1_100_000 + b'", "answer": 1}\n', "longer than 1,000,000 bytes"),
        (b"[" * 200_000 + b"\n", "is not JSON"),
    ],
    ids=range(16),
)
def test_malformed_files_are_refused_with_their_line(tmp_path: Path, data: bytes, said: str) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(data)
    with pytest.raises(BadInput, match=said) as caught:
        load_tasks(str(file))
    assert "a.jsonl" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("question,answer\na\n", "has not the 2 columns"),
        ("question,answer\na,b,c\n", "has not the 2 columns"),
        ('question,answer\n"a,b\n', "a.csv:2"),
        ("question,reply\na,b\n", "fields there are: question, reply$"),
        (
            "question;answer\na;b\n",
            "question;answer; .* parted by semicolons: save it with commas",
        ),
        ("question\tanswer\na\tb\n", "parted by tabs"),
        ("question,answer\n" + "a" * 200_000 + ",b\n", "field larger"),
    ],
    ids=range(7),
)
def test_malformed_tables_are_refused(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "a.csv"
    file.write_text(text)
    with pytest.raises(BadInput, match=said):
        load_tasks(str(file))


@settings(max_examples=200)
@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    for suffix in ("jsonl", "csv"):
        file = tmp_path_factory.getbasetemp() / f"fuzz.{suffix}"
        file.write_bytes(data)
        with pytest.raises(BadInput):
            load_tasks(str(file))


# reasoning-gym


def test_a_family_of_reasoning_gym_is_admitted_and_judged(pool: JudgePool) -> None:
    tasks = load_tasks("rg:chain_sum?max_terms=3&max_digits=2", **SMALL)
    assert tasks.verifier == "reasoning_gym" and tasks.sizes == SMALL
    assert tasks.fingerprint == load_tasks("rg:chain_sum?max_digits=2&max_terms=3", **SMALL).fingerprint
    assert (
        tasks.fingerprint
        != load_tasks("rg:chain_sum?max_digits=2&max_terms=3&data_seed=1", **SMALL).fingerprint
    )
    assert Task.model_validate_json(tasks.train[0].model_dump_json()) == tasks.train[0]
    assert prove_on(open_verifier(tasks.verifier, pool=pool), tasks.train).ok


def test_countdown_is_judged_without_executing_anything(pool: JudgePool) -> None:
    tasks = load_tasks("rg:countdown?max_value=20", **SMALL)
    assert tasks.verifier == "countdown"
    assert prove_on(open_verifier("countdown", pool=pool), tasks.train).ok


def test_reasoning_gym_sets_do_not_depend_on_the_process() -> None:
    specs = ["rg:chain_sum", "rg:word_sorting", "rg:letter_counting"]
    program = (
        "from sharpen.tasks.source import load_tasks\n"
        f"for spec in {specs}:\n"
        "    print(load_tasks(spec, train=4, val=2, test=2).fingerprint)\n"
    )
    elsewhere = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONHASHSEED": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    here = [load_tasks(spec, train=4, val=2, test=2).fingerprint for spec in specs]
    assert elsewhere.stdout.split() == here


@pytest.mark.parametrize("name", sorted(reasoning_gym.REFUSED))
def test_refused_families_say_why(name: str) -> None:
    with pytest.raises(BadInput, match=reasoning_gym.REFUSED[name][:20]):
        load_tasks(f"rg:{name}", **SMALL)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("rg:nope", "there is no such family"),
        ("rg:chain_sum?max_trems=3", "legal: min_terms, max_terms"),
        ("rg:chain_sum?max_terms=x", "integer"),
        ("rg:chain_sum?min_terms=0", "must be positive"),
        ("rg:count_bits?max_n=5", "only 5 different problems"),
        ("rg:game_of_life", "its grader accepts"),
        ("rg:chain_sum?seed=3", "legal: "),
    ],
)
def test_bad_reasoning_gym_specs_are_refused(spec: str, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        load_tasks(spec, **SMALL)


def test_admission_refuses_a_grader_that_says_yes(monkeypatch: pytest.MonkeyPatch) -> None:
    tasks = [Task.ask(f"{n}?", str(n)) for n in range(3)]
    monkeypatch.setattr(reasoning_gym, "grade", lambda answer, metadata: 1.0)
    with pytest.raises(BadInput, match="its grader accepts ''"):
        reasoning_gym.admit("any", tasks)
    monkeypatch.setattr(reasoning_gym, "grade", lambda answer, metadata: 0.5)
    with pytest.raises(BadInput, match="rejects its own answer"):
        reasoning_gym.admit("any", tasks)


def test_a_missing_package_comes_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "reasoning_gym", None)
    with pytest.raises(Unavailable, match=r"pip install 'sharpen\[reasoning-gym\]'"):
        load_tasks("rg:chain_sum", **SMALL)


def test_a_family_that_cannot_give_so_many_says_so_soon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 30 different problems a million are wanted: not all 50 million draws are made."""
    family = tmp_path / "few.py"
    family.write_text(
        "from sharpen.tasks.base import Problem\n\n\n"
        "def generate(rng, *, level=2):\n    a = str(rng.randrange(30))\n    return Problem(a, (), a)\n"
    )
    made: list[object] = []
    random_for = source.random_for

    def counted(*place: Any) -> random.Random:
        made.append(place)
        return random_for(*place)

    monkeypatch.setattr(source, "random_for", counted)
    with pytest.raises(BadInput, match="has only 30 different problems, and 1000300 are wanted"):
        load_tasks(str(family), train=1_000_000)
    assert len(made) <= 2 * source.WINDOW
    assert len(load_tasks(str(family), train=10, val=10, test=10).train) == 10
