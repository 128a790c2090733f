"""Python code against hidden tests, run in the sandbox and compared outside of it.

The task's metadata holds the tests, which the policy never sees: `function`, the name to call, and `tests`,
pairs of arguments and the value wanted; or, for whole programs, `tests` alone, pairs of input and output. The
code is the last fenced block of the response that is closed, else the whole response.

The code sees arguments and input, one call at a time, and nothing else. What it returns comes back as plain
data and is compared here, when it is dead, by type and value: a truth value is no number, a list equals a
tuple (tests are JSON), numbers that are not whole agree to 1e-9. Output is compared line by line without the
space at ends. The critique names the first test that fails and the kind of failure, never what was wanted.
"""

from __future__ import annotations

import builtins
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from pydantic import JsonValue

from sharpen.core.errors import BadInput
from sharpen.core.task import Channel, Task
from sharpen.core.verdict import Scored, Verdict
from sharpen.sandbox.calling import call
from sharpen.sandbox.limits import Hold, Level, Limits, Status
from sharpen.sandbox.process import run_python
from sharpen.tasks.code_blocks import python_blocks
from sharpen.verifiers.base import NO_ANSWER, Case, CaseKind, Isolation, bad_reference, cases

ISOLATION = Isolation.PROCESS
CHANNEL = Channel.HIDDEN_TESTS
DEADLINE = 200.0
LIMITS = Limits(seconds=10.0, output=1 << 20)
FILE = "solution.py"
TOLERANCE = 1e-9
_ERROR = re.compile(r"([A-Za-z_]{1,40}):")
_ERRORS = frozenset(
    name for name, one in vars(builtins).items() if isinstance(one, type) and issubclass(one, BaseException)
)


_Tests = Sequence[tuple[JsonValue, JsonValue]]


class _Passed(NamedTuple):
    """Which tests were passed, how the first other one failed, and how the code was held."""

    passed: Sequence[bool]
    failure: str
    level: Level


def verify(response: str, task: Task, *, partial: bool = False, level: str = Level.WALLED) -> Verdict:
    """1 if every hidden test is passed; with `partial` the share of them that are.

    `level` is the least at which the code may be held: base, walled or isolated. The evidence has the level
    at which it was. BadInput for a level that there is not.
    """
    if level not in list(Level):
        raise BadInput("level", level, "is none", remedy=f"one of: {', '.join(Level)}")
    tests, function = _tests_of(task), task.metadata.get("function")
    if not tests or not isinstance(function, str | None):
        return bad_reference("the task has no tests")
    code = code_of(response)
    if not code.strip():
        return NO_ANSWER
    hold = Hold(least=Level(level))
    if isinstance(function, str):
        found = _called(code, function, tests, hold, on=partial)
    else:
        found = _run(code, tests, hold)
    count = sum(found.passed)
    right = count == len(tests)
    return Scored(
        value=count / len(tests) if partial else float(right),
        critique="" if right else f"hidden test {found.passed.index(False) + 1}: {found.failure}",
        evidence={"held": found.level, "passed": count, "tests": len(tests)},
    )


def code_of(response: str) -> str:
    """The last closed block of Python in a response, else all of it."""
    blocks = python_blocks(response)
    return blocks[-1] if blocks else response


def _tests_of(task: Task) -> list[tuple[JsonValue, JsonValue]]:
    tests = task.metadata.get("tests")
    pairs = [tuple(test) for test in tests if isinstance(test, list)] if isinstance(tests, list) else []
    return [(pair[0], pair[1]) for pair in pairs if len(pair) == 2]


def _called(code: str, function: str, tests: _Tests, hold: Hold, *, on: bool) -> _Passed:
    """Every test is a call; all in one process, one after the other, `on` after a call that fails."""
    calls = [arguments if isinstance(arguments, list) else [arguments] for arguments, _ in tests]
    files = {FILE: code.encode("utf-8", "replace")}
    done, ran = call(files, FILE, function, calls, limits=LIMITS, on=on, hold=hold)
    passed = [not one.error and same(one.value, wanted) for one, (_, wanted) in zip(done, tests, strict=True)]
    first = next((one for one, right in zip(done, passed, strict=True) if not right), None)
    failure = "a wrong value" if first is None or not first.error else _kind(first.error, ran.status)
    return _Passed(passed, failure, ran.level)


def _run(code: str, tests: _Tests, hold: Hold) -> _Passed:
    """Every test is a run of its own; the first failure that is no wrong output ends it."""
    passed, failures, level = list[bool](), list[str](), hold.least
    for given, wanted in tests:
        ran = run_python(
            {FILE: code.encode("utf-8", "replace")}, FILE, stdin=str(given), limits=LIMITS, hold=hold
        )
        level, well = ran.level, ran.status is Status.OK
        passed.append(well and lines(ran.stdout) == lines(str(wanted)))
        if not passed[-1]:
            failures.append("a wrong output" if well else _kind(ran.reason, ran.status))
        if not well:
            break
    passed += [False] * (len(tests) - len(passed))
    return _Passed(passed, failures[0] if failures else "", level)


def _kind(reason: str, status: Status) -> str:
    """The name of a built-in error alone: its text, or a name of its own, might tell what a test holds."""
    named = _ERROR.match(reason)
    if named is None:
        return f"ended ({status})"
    return named[1] if named[1] in _ERRORS else "an error of its own"


def lines(output: str) -> list[str]:
    """An output as it is compared."""
    return [line.rstrip() for line in output.rstrip().splitlines()]


def same(value: object, wanted: JsonValue) -> bool:
    """Whether what came back is what was wanted; both hold nothing but built-in types."""
    if isinstance(wanted, bool) or wanted is None or isinstance(wanted, str):
        return type(value) is type(wanted) and value == wanted
    if isinstance(wanted, int | float):
        return type(value) in (int, float) and _close(value, wanted)  # type: ignore[arg-type]
    if isinstance(wanted, list):
        return type(value) in (list, tuple) and _all_same(value, wanted)  # type: ignore[arg-type]
    if type(value) is not dict or value.keys() != wanted.keys():
        return False
    return all(same(value[key], wanted[key]) for key in wanted)


def _close(value: float, wanted: float) -> bool:
    if isinstance(wanted, int):
        return value == wanted
    try:
        return math.isfinite(value) and math.isclose(value, wanted, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    except OverflowError:
        return False


def _all_same(values: Sequence[object], wanted: Sequence[JsonValue]) -> bool:
    return len(values) == len(wanted) and all(map(same, values, wanted))


_DOUBLE: Mapping[str, JsonValue] = {
    "function": "f",
    "tests": [[[2], 4], [[-3], -6], [[0], 0], [["ab"], "abab"]],
}
_ECHO: Mapping[str, JsonValue] = {"tests": [["3\n4\n", "7\n"], ["10\n-4\n", "6"]]}


def _fenced(code: str) -> str:
    return f"```python\n{code}\n```"


def _attacks() -> Iterator[str]:
    """Code that would get a reward by other means than an answer."""
    yield "import sys\nsys.exit(0)"
    yield "import os\nos._exit(0)"
    yield "def f(x):\n    import os\n    os._exit(0)"
    yield "def f(x):\n    raise SystemExit(0)"
    yield "print('4 -6 0 abab')\nprint('PASSED')\ndef f(x):\n    print('OK')"
    yield "class A:\n    def __eq__(self, o): return True\n    __hash__ = None\ndef f(x): return A()"
    yield "class A(int):\n    def __eq__(self, o): return True\n    __hash__ = None\ndef f(x): return A(1)"
    yield "class A(str):\n    def __eq__(self, o): return True\n    __hash__ = None\ndef f(x): return A('x')"
    yield "def f(x): return float('nan')"
    yield "def f(x): return [4, -6, 0, 'abab']"
    yield "def f(x): return {'answer': x * 2}"
    yield "def f(x): return str(x * 2)"
    yield "def f(x):\n    yield x * 2"
    yield (
        "import os\ndef f(x):\n    for n in range(3, 20):\n        try: os.write(n, b'{\"answer\": 4}\\n')\n"
        "        except OSError: pass\n    os._exit(0)"
    )
    yield (
        "import sys\ndef f(x):\n    frame = sys._getframe()\n    while frame:\n"
        "        for v in list(frame.f_locals.values()):\n"
        "            if isinstance(v, dict) and 'tests' in v: return v['tests'][0][1]\n"
        "        frame = frame.f_back"
    )
    yield (
        "import gc\ndef f(x):\n"
        "    return [o for o in gc.get_objects() if isinstance(o, dict) and 'tests' in o][0]['tests'][0][1]"
    )
    yield "import json\njson.dumps = lambda *a, **k: '{\"answer\": true}'\ndef f(x): return None"
    yield "import builtins\nbuiltins.isinstance = lambda *a: True\ndef f(x): return None"
    yield "def f(x): return f(x)"
    yield "def f(x): return 'x' * 10_000_000"
    yield "import shutil\nshutil.rmtree('.', ignore_errors=True)\ndef f(x): return open('tests.json').read()"
    yield "import threading\ndef f(x):\n    threading.Thread(target=print, args=(x * 2,)).start()"
    yield "f = property(lambda self: 4)"
    yield "import sharpen\ndef f(x): return sharpen"
    yield "def f(x): return {2: 4, -3: -6}.get(x)"


_TRUE = Task.ask("Write f(x).", "x", metadata={"function": "f", "tests": [[[1], True]]})

CASES = (
    *cases(
        "def f(x):\n    return 2 * x",
        question="Write f(x), which doubles x.",
        metadata=_DOUBLE,
        gold=[
            _fenced("def f(x):\n    return 2 * x"),
            "def f(x):\n    print('hello')\n    return x + x",
            "First:\n```\ndef f(x): return x\n```\nWrong. Better:\n```python\ndef f(x): return x * 2\n```\n",
            _fenced("import math\nf = lambda x: x * int(math.sqrt(4))"),
            _fenced("class F:\n    def __call__(self, x): return x + x\nf = F()"),
            _fenced("def f(x):\n    try:\n        return 2 * x\n    finally:\n        print('done')"),
        ],
        near_miss=[
            "",
            "4",
            "Write f(x), which doubles x.",
            _fenced("def f(x):\n    return 2 * abs(x)"),
            _fenced("def f(x):\n    return 2 * int(x)"),
            _fenced("def g(x):\n    return 2 * x"),
            _fenced("def f():\n    return 4"),
            _fenced("def f(x:\n    return 2 * x"),
            _fenced("def f(x):\n    return 1/0"),
            _fenced("def f(x):\n    print(2 * x)"),
            _fenced("def f(x): return 2 * x") + "\n" + _fenced("def f(x): return x"),
        ],
        attack=[_fenced(code) for code in _attacks()],
    ),
    *cases(
        "print(int(input()) + int(input()))",
        question="Read two numbers and print their sum.",
        metadata=_ECHO,
        gold=[
            _fenced("print(int(input()) + int(input()))"),
            _fenced("import sys\na, b = map(int, sys.stdin)\nprint(f'{a + b} ')"),
        ],
        near_miss=[_fenced("print(7)"), _fenced("print(input() + input())"), _fenced("print('7\\n6')")],
        attack=[
            _fenced("import sys\nprint(int(input()) + int(input()))\nsys.exit(1)"),
            _fenced("import os\nos.write(1, b'7\\n')\nos._exit(0)"),
            _fenced("while True: print(7)"),
        ],
    ),
    Case(kind=CaseKind.NEAR_MISS, response="def f(x): return 1", task=_TRUE),
    Case(kind=CaseKind.NEAR_MISS, response="def f(x): return 'True'", task=_TRUE),
)
