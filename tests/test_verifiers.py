"""Every verifier against its own cases, and what must hold for any answer at all."""

from __future__ import annotations

import random
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sharpen.core import plugins
from sharpen.core.errors import BadInput
from sharpen.core.task import Channel, Task
from sharpen.core.verdict import Error, Rejected, Scored, value_of
from sharpen.executors.pool import JudgePool
from sharpen.experiment.assemble import open_policy
from sharpen.experiment.spec import Request
from sharpen.tasks.arithmetic import evaluate
from sharpen.verifiers import choice, countdown, exact, numeric
from sharpen.verifiers.answers import final_answer, parse_number
from sharpen.verifiers.base import MAX_RESPONSE, Case, CaseKind, Isolation
from sharpen.verifiers.calls import as_verdict
from sharpen.verifiers.check import check_cases, prove_on
from sharpen.verifiers.source import OpenVerifier, open_unproven, open_verifier, verifier_names

EVERY: dict[str, Any] = {
    name: plugins.load("sharpen.verifiers", name, kind="verifier") for name in sorted(verifier_names())
}
MODULES = {name: module for name, module in EVERY.items() if hasattr(module, "extract")}
"""Those that judge texts."""
NAMES = list(MODULES)
INLINE = [name for name in NAMES if MODULES[name].ISOLATION is Isolation.INLINE]
ALL_CASES = [(name, case) for name in NAMES for case in MODULES[name].CASES]
MASTER_KEYS = (
    *(
        " ",
        ".",
        ",",
        ":",
        "Solution",
        "Thought process:",
        "Let's solve this problem step by step.",
        "解",
        "かいせつ",
    ),
    *(
        "Answer:",
        "####",
        r"\boxed{}",
        "[[10]]",
        "Score: 1",
        '{"score": 1}',
        "<answer></answer>",
        "CORRECT",
        "True",
    ),
    *("nan", "inf", "None", "null", "undefined", "\x00", "\ud800", "</s>", "{answer}", "%s", "{0.__class__}"),
)


@pytest.fixture(scope="module")
def pool() -> Iterator[JudgePool]:
    with JudgePool(workers=1) as opened:
        yield opened


def judge_inline(name: str, task: Task, response: str) -> float | None:
    return value_of(MODULES[name].verify(response, task))


def test_all_verifiers_are_there_and_helpers_are_not() -> None:
    assert set(NAMES) >= {"numeric", "exact", "choice", "math", "regex", "reasoning_gym", "countdown"}
    assert not {"base", "source", "check", "answers", "calls", "formulas"} & set(NAMES)


@pytest.mark.parametrize("name", EVERY)
def test_own_cases(name: str, pool: JudgePool) -> None:
    verifier = open_verifier(name, pool=pool)
    assert {case.kind for case in verifier.cases} == set(CaseKind)
    assert check_cases(verifier).failures == ()
    assert verifier.fingerprint in pool.proven


@pytest.mark.parametrize("name", NAMES)
def test_gold_is_found_by_extract(name: str, pool: JudgePool) -> None:
    verifier = open_unproven(name, pool=pool)
    gold = [case.response for case in verifier.cases if case.kind is CaseKind.GOLD]
    needs_the_task = name in {"regex", "choice"}
    assert needs_the_task or all(verifier.extract_many(gold))
    assert verifier.extract("") is None


@pytest.mark.parametrize("name", NAMES)
def test_master_keys_earn_nothing(name: str, pool: JudgePool) -> None:
    verifier = open_unproven(name, pool=pool)
    tasks = list({case.task.key: case.task for case in verifier.cases}.values())
    verdicts = verifier.judge_texts([(task, key) for task in tasks[:5] for key in MASTER_KEYS])
    assert {value_of(verdict) for verdict in verdicts} == {0.0}


def test_fingerprints_depend_on_options(pool: JudgePool) -> None:
    first, second = (open_verifier(f"exact?ignore_case={flag}", pool=pool) for flag in ("true", "false"))
    assert first.fingerprint != second.fingerprint
    assert first.fingerprint == open_verifier("exact?ignore_case=1", pool=pool).fingerprint
    assert first.channel is Channel.LABEL
    [verdict] = first.judge_texts([(Task.ask("?", "Blue"), "BLUE")])
    assert value_of(verdict) == 1


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("nope", "there is no such verifier"),
        ("numeric?x=1", "legal: none"),
        ("exact?ignore_case=perhaps", "boolean"),
        ("exact?ignore_case", "is not key=value"),
        ("./not_there.py:judge", "no such file"),
        ("base", "there is no such verifier"),
    ],
)
def test_bad_specs_are_refused(spec: str, said: str, pool: JudgePool) -> None:
    with pytest.raises(BadInput, match=said):
        open_verifier(spec, pool=pool)


def test_a_verifier_that_fails_a_case_cannot_be_used(pool: JudgePool, tmp_path: Path) -> None:
    file = tmp_path / "lenient.py"
    file.write_text(
        "from sharpen.verifiers.base import cases\n"
        "def verify(response, task): return task.answer in response\n"
        "CASES = cases('7', gold=['7'], attack=['1 2 3 4 5 6 7'])\n"
    )
    with pytest.raises(BadInput, match="1 of 2 checks failed; attack '1 2 3 4 5 6 7'"):
        open_verifier(str(file), pool=pool)


def test_responses_over_the_limit_are_rejected_unread(pool: JudgePool) -> None:
    verifier, task = open_verifier("numeric", pool=pool), Task.ask("?", "7")
    long, short = verifier.judge_texts([(task, "7" + " " * MAX_RESPONSE), (task, "7")])
    assert long == Rejected(reason="too long") and value_of(short) == 1


# Numbers

INTEGERS = st.integers(-(10**30), 10**30)
FRACTIONS = st.fractions(max_denominator=10**6)
FORMS = st.sampled_from(
    [
        "{}",
        "#### {}",
        "2+2=4\n#### {}",
        r"\boxed{{{}}}",
        "The answer is {}.",
        "Answer: **{}**",
        "<answer>{}</answer>",
    ]
)


def numeric_value(answer: object, response: str, question: str = "?") -> float | None:
    return judge_inline("numeric", Task.ask(question, str(answer)), response)


@given(FRACTIONS, FORMS)
def test_gold_numbers_are_right_in_every_form(number: Fraction, form: str) -> None:
    assert numeric_value(number, form.format(number)) == 1


@given(INTEGERS, FORMS)
def test_other_spellings_of_an_integer(number: int, form: str) -> None:
    for text in (
        f"{number:,}",
        f"{number}.0",
        f"{2 * number}/2",
        f"${number}$",
        f"{number}".replace("-", "\u2212"),
    ):
        assert numeric_value(number, form.format(text)) == 1


@given(FRACTIONS, st.fractions(max_denominator=10**9).filter(bool), FORMS)
def test_other_numbers_are_wrong(number: Fraction, off: Fraction, form: str) -> None:
    assert numeric_value(number, form.format(number + off)) == 0
    assert numeric_value(number, form.format(-number)) == (number == 0)
    assert numeric_value(number, form.format(number) + "\n#### " + str(number + off)) == 0


@given(INTEGERS.filter(lambda n: abs(n) > 9), FORMS, st.randoms())
def test_near_misses_of_a_number_are_wrong(number: int, form: str, rng: random.Random) -> None:
    text = str(number)
    for wrong in (
        text[:-1],
        text + "1",
        f"{text} km",
        f"{text}%",
        f"±{text}",
        f"{text} or {number + 1}",
        f"{number - 1}, {text}",
        f"{number - 1}-{text}",
        f"{text}e0",
        f"x={text}",
        f"{text}+0",
        "".join(chr(0x660 + int(c)) if c.isdigit() else c for c in text),
        text[:2] + "\u200b" + text[2:],
    ):
        marked = form if form != "{}" else "#### {}"
        assert numeric_value(number, marked.format(wrong)) == 0, wrong


@given(st.integers(0, 999), st.integers(1, 999))
def test_an_echoed_sum_earns_nothing(one: int, other: int) -> None:
    question = f"{one}+{other}=?"
    for text in (
        question,
        f"{one}+{other}",
        f"{one + other}={one}+{other}",
        f"#### {one}+{other}={one + other}",
    ):
        assert numeric_value(one + other, text, question) == 0
    assert numeric_value(one + other, f"{one}+{other}={one + other}", question) == 1


@given(FRACTIONS, FRACTIONS)
def test_agreement_with_the_exact_rational_oracle(one: Fraction, other: Fraction) -> None:
    assert numeric_value(one, f"#### {other}") == (one == other)
    assert numeric_value(one, f"#### {other}") == numeric_value(other, f"#### {one}")


@given(st.text(max_size=40))
def test_what_is_read_as_a_number_is_one(text: str) -> None:
    number = parse_number(text)
    if number is not None:
        plain = text.strip().replace("\u2212", "-")
        assert plain.isascii() or plain.strip("$€£¥ -+") != plain
        assert parse_number(str(number)) == number


def test_a_reference_that_is_no_number_is_an_error_not_a_zero() -> None:
    verdict = numeric.verify("7", Task.ask("?", "seven"))
    assert isinstance(verdict, Error) and value_of(verdict) is None


# Fuzz

PIECES = [
    *(
        "####",
        r"\boxed{",
        "}",
        "{",
        "<answer>",
        "</answer>",
        "Answer:",
        "the answer is",
        "=",
        "±",
        r"\pm",
        "\n",
        " ",
    ),
    *(
        "7",
        "42",
        "3/4",
        "1,000",
        "-",
        "+",
        "%",
        "$",
        ".",
        "e9",
        "!",
        "^",
        "(",
        ")",
        "[",
        "]",
        ",",
        "or",
        "not",
        "B",
        "A)",
    ),
    *(
        "x",
        r"\frac{1}{2}",
        r"\sqrt2",
        r"\text{",
        "*",
        "/",
        "\u200b",
        "٤",
        "\x00",
        "\ud800",
        "🙂",
        "is",
        ":",
        "**",
        "_",
        "`",
    ),
]


def fuzz_texts(count: int) -> Iterator[str]:
    rng = random.Random(0)
    for _ in range(count):
        yield "".join(rng.choices(PIECES, k=rng.randrange(1, 24)))


@pytest.mark.parametrize("name", INLINE)
def test_ten_thousand_random_texts_never_raise(name: str) -> None:
    task = MODULES[name].CASES[0].task
    wanted = {CaseKind.GOLD: 1.0}
    gold = {case.response for case in MODULES[name].CASES if case.kind in wanted}
    for text in fuzz_texts(10_000):
        verdict = MODULES[name].verify(text, task)
        assert not isinstance(verdict, Error)
        if value_of(verdict) == 1:
            found = MODULES[name].extract(text)
            assert found in {MODULES[name].extract(response) for response in gold}


@settings(max_examples=200)
@given(st.text(max_size=300))
def test_any_text_has_a_verdict(text: str) -> None:
    for name in INLINE:
        case = MODULES[name].CASES[0]
        assert value_of(MODULES[name].verify(text, case.task)) is not None


@pytest.mark.parametrize("name", ["math", "regex", "reasoning_gym"])
def test_random_texts_in_a_worker_are_no_errors(name: str, pool: JudgePool) -> None:
    verifier = open_unproven(name, pool=pool)
    task = verifier.cases[0].task if name != "math" else Task.ask("?", "x^2-1")
    verdicts = verifier.judge_texts([(task, text) for text in fuzz_texts(150)])
    assert not [verdict for verdict in verdicts if isinstance(verdict, Error)]


def test_long_texts_take_linear_time() -> None:
    for text in (
        "####" * 5000,
        "{" * 20_000,
        "answer " * 2857,
        "answer" + " " * 19_990,
        r"\boxed{" * 2800,
        "1," * 9999,
    ):
        for name in INLINE:
            assert judge_inline(name, MODULES[name].CASES[0].task, text[:MAX_RESPONSE]) == 0


# Countdown


@given(st.lists(st.integers(1, 50), min_size=2, max_size=6), st.randoms(use_true_random=False))
def test_countdown_agrees_with_construction(numbers: list[int], rng: random.Random) -> None:
    text, value = str(numbers[0]), Fraction(numbers[0])
    for number in numbers[1:]:
        sign = rng.choice("+-*")
        text = f"({text}) {sign} {number}"
        value = {"+": value + number, "-": value - number, "*": value * number}[sign]
    found = evaluate(text)
    assert found is not None and found.value == value and found.numbers == tuple(numbers)
    task = Task.ask("?", text, metadata={"numbers": sorted(numbers), "target": int(value)})
    assert value_of(countdown.verify(f"#### {text}", task)) == 1
    assert value_of(countdown.verify(f"#### {text}+1-1", task)) == 0
    assert value_of(countdown.verify(f"#### {text}={value}", task)) == 0
    assert value_of(countdown.verify(str(value), task)) == 0


# Choice and exact


@given(st.sampled_from("ABC"), st.sampled_from("ABC"))
def test_choice_accepts_exactly_its_label(wanted: str, given_label: str) -> None:
    task = Task.ask("?", wanted, metadata={"choices": ["one", "two", "three"]})
    for form in ("{}", "({})", "#### {}.", r"\boxed{{{}}}", "The answer is {}"):
        assert value_of(choice.verify(form.format(given_label), task)) == (wanted == given_label)
    assert value_of(choice.verify("A, B, C", task)) == 0


WORDS = st.text(st.characters(codec="ascii", categories=["Ll"]), min_size=1, max_size=12)


@given(WORDS, WORDS)
def test_exact_is_exact(one: str, other: str) -> None:
    task = Task.ask("?", one)
    assert value_of(exact.verify(f"#### {one}", task)) == 1
    assert value_of(exact.verify(f"#### {other}", task)) == (one == other)
    assert value_of(exact.verify(f"#### {one} {other}", task)) == 0


@given(st.text(max_size=200))
def test_a_final_answer_stands_in_its_response(text: str) -> None:
    final = final_answer(text)
    assert final is None or final.text in text


# Functions of the user's

USER_FILE = """
import os, sys, time
from sharpen.core.verdict import Scored, Rejected

def equal(response, task): return response == task.answer
def number(response, task): return 0.25
def verdict(response, task): return Scored(value=1.0) if response == "7" else Rejected(reason="no")
def raises(response, task): raise KeyError("two\\nlines")
def hangs(response, task):
    if response == "hang": time.sleep(60)
    if response == "die": os._exit(1)
    return response == task.answer
def bad(response, task): return {"nan": float("nan"), "inf": float("inf"), "2": 2, "-1": -1.0, "none": None,
    "text": "1", "scored": Scored(value=3.0), "list": [1]}[response]
def raising(response, task): return 1 / 0
"""


@pytest.fixture
def user_file(tmp_path: Path) -> Path:
    file = tmp_path / "mine.py"
    file.write_text(USER_FILE)
    return file


def open_user(file: Path, function: str, pool: JudgePool, deadline: float = 10) -> OpenVerifier:
    return open_verifier(f"{file}:{function}", pool=pool, deadline=deadline)


def test_users_functions_return_truth_numbers_or_verdicts(user_file: Path, pool: JudgePool) -> None:
    task = Task.ask("?", "7")
    for function, first, second in (("equal", 1, 0), ("number", 0.25, 0.25), ("verdict", 1, 0)):
        verdicts = open_user(user_file, function, pool).judge_texts([(task, "7"), (task, "8")])
        assert [value_of(verdict) for verdict in verdicts] == [first, second]
    assert open_user(user_file, "equal", pool).extract("so\n#### 7") == "7"


def test_users_exceptions_hangs_and_crashes_are_errors(user_file: Path, pool: JudgePool) -> None:
    task = Task.ask("?", "7")
    [raised] = open_user(user_file, "raises", pool).judge_texts([(task, "7")])
    assert raised == Error(kind="raised", detail="KeyError: 'two\\nlines'")
    hang, right, die, wrong = open_user(user_file, "hangs", pool, deadline=1).judge_texts(
        [(task, text) for text in ("hang", "7", "die", "8")]
    )
    assert isinstance(hang, Error) and hang.kind == "timeout"
    assert isinstance(die, Error) and die.kind == "crash"
    assert (value_of(right), value_of(wrong)) == (1, 0)


def test_users_bad_values_are_errors(user_file: Path, pool: JudgePool) -> None:
    names = ["nan", "inf", "2", "-1", "none", "text", "scored", "list"]
    verdicts = open_user(user_file, "bad", pool).judge_texts([(Task.ask("?", "7"), name) for name in names])
    assert [verdict.kind for verdict in verdicts if isinstance(verdict, Error)] == ["bad value"] * len(names)


def test_users_files_that_cannot_be_used_are_refused(
    tmp_path: Path, pool: JudgePool, user_file: Path
) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("import nothing_of_this_name\n")
    for spec, said in ((f"{broken}:f", "ModuleNotFoundError"), (f"{user_file}:nope", "no such function")):
        with pytest.raises(BadInput, match=said):
            open_verifier(spec, pool=pool)


def test_a_changed_file_is_another_verifier(user_file: Path, pool: JudgePool) -> None:
    before = open_user(user_file, "equal", pool)
    user_file.write_text("def equal(response, task): return response != task.answer\n")
    after = open_user(user_file, "equal", pool)
    assert before.fingerprint != after.fingerprint
    assert value_of(after.judge_texts([(Task.ask("?", "7"), "7")])[0]) == 0


@given(
    st.floats() | st.integers() | st.booleans() | st.none() | st.text(max_size=3) | st.lists(st.integers())
)
def test_only_numbers_from_0_to_1_are_scores(value: object) -> None:
    verdict = as_verdict(value)
    fine = isinstance(value, int | float) and 0 <= value <= 1
    assert isinstance(verdict, Scored if fine else Error)


# Proof on a task set

SUMS = [Task.ask(f"{n}+1=?", str(n + 1), solution=f"{n}+1={n + 1}\n#### {n + 1}") for n in range(30)]


def test_proof_on_a_task_set(user_file: Path, pool: JudgePool) -> None:
    report = prove_on(open_verifier("numeric", pool=pool), SUMS)
    assert report.ok and len(report.rows) >= 100
    report.require()
    for function, said in (("equal", "wanted score 1"), ("raising", "error: raised ZeroDivisionError")):
        with pytest.raises(BadInput, match=said):
            prove_on(open_user(user_file, function, pool), SUMS).require()


def test_the_remedy_names_the_option_that_named_the_verifier(tmp_path: Path, pool: JudgePool) -> None:
    file = tmp_path / "soft.py"
    file.write_text("def yes(response, task): return True\n")
    place = {"task": "chain?level=1", "model": "scripted:echo", "train": 4, "val": 2, "test": 2}
    for field, option in (("verifier", "--verifier"), ("held_back", "--held-back")):
        with pytest.raises(BadInput, match=f"name another with {option}$"):
            open_policy(Request(**place, **{field: f"{file}:yes"}), pool)


def test_proof_catches_yes_sayers_and_echoes(tmp_path: Path, pool: JudgePool) -> None:
    file = tmp_path / "soft.py"
    file.write_text(
        "def yes(response, task): return True\n"
        "def nonempty(response, task): return bool(response.strip())\n"
        "def contains(response, task): return task.answer in response\n"
    )
    tasks = [Task.ask(f"Which is odd, {n} or {n + 1}?", str(n)) for n in range(11, 31, 2)]
    for function, said in (("yes", "garbage ''"), ("nonempty", "garbage"), ("contains", "echoed question")):
        with pytest.raises(BadInput, match=said):
            prove_on(open_user(file, function, pool), tasks).require()


def test_proof_needs_no_other_answer_where_all_are_equal(pool: JudgePool) -> None:
    tasks = [Task.ask(f"{n}-{n}=?", answer) for n, answer in ((1, "0"), (2, "0.0"), (3, "-0"))]
    assert prove_on(open_verifier("numeric", pool=pool), tasks).ok


@pytest.mark.parametrize(
    ("name", "case"), ALL_CASES[::25], ids=lambda value: value if isinstance(value, str) else ""
)
def test_cases_survive_storage(name: str, case: Case) -> None:
    assert Case.model_validate_json(case.model_dump_json()) == case
