"""Honest solutions in many forms, which no verifier may turn down."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from itertools import islice

from sharpen.core.seeds import random_for
from sharpen.core.task import Task
from sharpen.tasks import chain, countdown, functions, product, remainder
from sharpen.tasks.base import Problem

CODE, TEXT = 120, 80
"""How many of each."""
_BOXED, _MARKED = r"\boxed{{{}}}", "#### {}"
_FORMS = {
    "numeric": (_MARKED, "{}", "The answer is {}.", _BOXED, "First 3, then 4.\n" + _MARKED, "**Answer:** {}"),
    "math": (_MARKED, "{}", "The answer is ${}$.", _BOXED, "Steps:\n1. two\n2. three\n" + _BOXED),
    "exact": ("{}",),
    "strict": ("{}", " {}\n"),
    "countdown": (_MARKED, "{}"),
}


def honest_code() -> list[tuple[Task, str]]:
    """Tasks of small functions and programs with their solutions, put in different ways."""
    return list(islice(_codes(), CODE))


def honest_texts(verifier: str) -> list[tuple[Task, str]]:
    """Tasks that a verifier judges, with right answers put in different ways; none for one it is not for."""
    if verifier == "python":
        return honest_code()
    tasks = _countdowns() if verifier == "countdown" else _sums()
    forms = _FORMS.get(verifier, ())
    return [
        (task, form.format(task.answer))
        for place, task in enumerate(tasks if forms else ())
        for form in (forms[place % len(forms)],)
    ]


def _codes() -> Iterator[tuple[Task, str]]:
    for seed in range(CODE):
        rng = random_for("honest", seed)
        style = functions.Style.PROGRAM if seed % 3 == 2 else functions.Style.FUNCTION
        task = functions.generate(rng, level=seed % 4 + 1, style=style)
        ways = (
            _function_ways(task.answer) if style == functions.Style.FUNCTION else _program_ways(task.answer)
        )
        yield task, ways[seed % len(ways)]


def _function_ways(code: str) -> Sequence[str]:
    inner = code.replace("def f(", "def work(")
    kind = "class F:\n    def __call__(self, x: object) -> object:\n        return work(x)\nf = F()"
    return (
        _fenced(code),
        f"Here is the function.\n\n{_fenced(code)}\n\nIt returns what was asked.",
        code,
        _fenced(f"{inner}\ndef f(x):\n    'Do it.'\n    print('working on', x)\n    return work(x)"),
        _fenced(f"import math, re\n{inner}\nf = lambda x: work(x)\nif __name__ == '__main__':\n    f(3)"),
        _fenced(f"{inner}\n{kind}"),
        f"A draft:\n{_fenced('def f(x): pass')}\nand the solution:\n{_fenced(code)}",
        _fenced(
            f"from functools import cache, wraps\n{inner}\ndef f(x):\n    try:\n"
            "        assert sum(range(10)) == 45\n        return work(x)\n    finally:\n        del x"
        ),
    )


def _program_ways(code: str) -> Sequence[str]:
    body = textwrap.indent(code.replace("def f(x)", "def g(x)").replace("f(x)", "g(x)"), "    ")
    return (
        _fenced(code),
        _fenced(f"import sys\n{code}\nsys.exit(0)"),
        f"The program:\n{_fenced(code)}\nDone.",
        _fenced(f"def main():\n{body}\n\nif __name__ == '__main__':\n    main()"),
    )


def _fenced(code: str) -> str:
    return f"```python\n{code}\n```"


def _sums() -> Iterator[Task]:
    for seed in range(TEXT // 4):
        rng = random_for("honest sums", seed)
        for family in (chain, remainder, product):
            problem: Problem = family.generate(rng)
            yield problem.as_task(family.__name__)


def _countdowns() -> Iterator[Task]:
    for seed in range(TEXT // 4):
        yield countdown.generate(random_for("honest countdowns", seed))
