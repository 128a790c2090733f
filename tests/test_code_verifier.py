"""Python code as an answer: hidden tests judge it outside of the sandbox, and nothing of them leaks."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sharpen.core.errors import BadInput
from sharpen.core.task import Task
from sharpen.core.verdict import Error, Scored
from sharpen.sandbox.calling import Called, call
from sharpen.sandbox.exchange import Exchange
from sharpen.sandbox.limits import Level, Limits
from sharpen.sandbox.walls import protections
from sharpen.tasks.functions import LEVELS, Style, generate
from sharpen.verifiers.base import NO_ANSWER
from sharpen.verifiers.python import code_of, same, verify

pytestmark = pytest.mark.skipif(
    not all(wall.stands for wall in protections()), reason="this machine cannot hold foreign code"
)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@pytest.mark.parametrize("style", Style)
@pytest.mark.parametrize("level", LEVELS)
def test_the_worked_solution_is_right_and_others_are_not(level: int, style: Style) -> None:
    one, other = (generate(random.Random(seed), level=level, style=style) for seed in (level, level + 50))
    verdict = verify(one.solution or "", one)
    assert isinstance(verdict, Scored) and verdict.value == 1.0 and verdict.evidence["passed"] == 12
    assert verdict.evidence["held"] in (Level.WALLED, Level.ISOLATED)
    assert verify(other.solution or "", one).value < 1  # type: ignore[union-attr]
    assert generate(random.Random(level), level=level, style=style) == one


@given(PLAIN, PLAIN)
def test_what_is_the_same(one: object, other: object) -> None:
    assert same(one, one)  # type: ignore[arg-type]
    if same(one, other):  # type: ignore[arg-type]
        assert one == pytest.approx(other, rel=1e-8, abs=1e-8) if isinstance(one, float) else True
        assert same(other, one) or isinstance(one, int) != isinstance(other, int)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (True, 1),
        (1, True),
        (None, 0),
        (float("nan"), 1.0),
        (float("inf"), 1.0),
        ({1}, [1]),
        ("1", 1),
        ([1], []),
    ],
)
def test_what_is_not_the_same(value: object, wanted: object) -> None:
    assert not same(value, wanted)  # type: ignore[arg-type]


@settings(max_examples=20, deadline=None)
@given(st.lists(PLAIN, min_size=1, max_size=5))
def test_plain_data_comes_back_as_it_is(values: list[object]) -> None:
    done, ran = call({"a.py": b"def f(x): return x"}, "a.py", "f", [[v] for v in values], limits=Limits())  # type: ignore[misc]
    assert done == [Called(value) for value in values], ran


@pytest.mark.parametrize(
    "returned",
    [
        "object()",
        "b'x'",
        "(n for n in [1])",
        "type('A', (list,), {'__iter__': lambda s: iter([9])})([1])",
        "1j",
    ],
)
def test_objects_do_not_come_back(returned: str) -> None:
    program = f"def f(): return {returned}".encode()
    [done], _ = call({"a.py": program}, "a.py", "f", [[]], limits=Limits())
    assert done.error or done.value == [1]


@pytest.mark.parametrize("form", ["{n: 0 for n in %s}", "set(%s)", "{(n, 1): 0 for n in %s}"])
def test_keys_of_one_hash_do_not_come_back(form: str) -> None:
    """A table of them takes the square of their number to make: a judge's time for a wrong answer."""
    honest, flood = ("range(2000)", "[n * (2**61 - 1) for n in range(2000)]")
    program = f"def f(): return {form % honest}\ndef g(): return {form % flood}".encode()
    for name, fails in (("f", False), ("g", True)):
        [done], _ = call({"a.py": program}, "a.py", name, [[]], limits=Limits())
        assert bool(done.error) is fails


@given(st.lists(st.binary(max_size=30)), st.lists(st.integers(1, 40)), st.integers(0, 3))
def test_answers_are_heard_however_they_are_cut(noise: list[bytes], cuts: list[int], count: int) -> None:
    exchange = Exchange("{}", ["question"] * count)
    nonces = [line.partition(b" ")[0] for line in exchange.opening().splitlines()[1:]]
    while nonces:
        text = b"".join(line.replace(b"\n", b"") + b"\n" for line in noise) + nonces.pop() + b" yes\n"
        while text:
            piece, text = text[: (cuts or [99])[0]], text[(cuts or [99])[0] :]
            nonces += [line.partition(b" ")[0] for line in exchange.hear(piece).splitlines()]
    assert exchange.answers == ["yes"] * count and exchange.done


def test_a_call_that_fails_costs_itself_alone() -> None:
    program = b"def f(x):\n    if x == 1: raise KeyError('why')\n    while x == 2: pass\n    return x"
    done, _ = call({"a.py": program}, "a.py", "f", [[0], [1], [2], [3]], limits=Limits(), seconds=0.2)
    assert [one.value for one in done] == [0, None, None, 3]
    assert (done[1].error, done[2].error[:12]) == ("KeyError: 'why'", "TimeoutError")


def test_the_critique_tells_nothing_of_the_tests() -> None:
    hidden = {"function": "f", "tests": [[["input-4711"], "output-0815"]]}
    task = Task.ask("Write f(x).", "", metadata=hidden)  # type: ignore[arg-type]
    own = "def f(x): raise type('Secret' + x.replace('-4711', ''), (Exception,), {})"
    for code in ("def f(x): raise ValueError(x)", "def f(x): return x", "def f(x): assert not x, x", own):
        verdict = verify(code, task)
        assert isinstance(verdict, Scored) and verdict.value == 0
        assert not any(word in str(verdict) for word in ("4711", "0815", "Secret"))


def test_a_task_without_tests_is_an_error() -> None:
    for metadata in ({}, {"tests": []}, {"tests": "x"}, {"function": 3, "tests": [[[1], 2]]}):
        assert isinstance(verify("x", Task.ask("?", "", metadata=metadata)), Error)  # type: ignore[arg-type]
    task = Task.ask("?", "", metadata={"tests": [["", "1"]]})
    assert verify(" \n", task) == NO_ANSWER
    with pytest.raises(BadInput, match="walled"):
        verify("x", task, level="strong")


@pytest.mark.parametrize(
    ("response", "code"),
    [
        ("x = 1", "x = 1"),
        ("```python\na\n```", "a\n"),
        ("```py\na\n```\ntext\n```\nb\n```", "b\n"),
        ("```python\na\n```\n```bash\nls\n```", "a\n"),
        ("```python\nnever closed", "```python\nnever closed"),
        ("text ```a``` text", "text ```a``` text"),
    ],
)
def test_where_the_code_stands(response: str, code: str) -> None:
    assert code_of(response) == code


@given(st.text(alphabet="`\n a#p~", max_size=300))
def test_any_text_has_code(response: str) -> None:
    assert isinstance(code_of(response), str)
