"""A writer of skills without a model: it edits small programs, line by line, until they fit the failures.

How much it knows: a program is a chain of lines `x = EXPRESSION` over the question's text, and the space of
lines below is all there is: where to look (after a colon, in the last line), what to take out (numbers,
words, listed items, quotations, letters), list operations (sort, reverse, drop, once each), reductions (sum,
product, extremes, gcd, lcm, counts, joins, expressions of two or three items) and steps on one value. It
holds no answers, no words of any question and no task family. A new skill is the best-fitting chain; a patch
inserts, replaces or deletes one line of the blamed program, maybe only `if` a word stands in the question;
the words come from the failing questions. Candidates are tried in the sandbox, at most `budget` a call.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from itertools import islice, product
from math import ceil

from pydantic import Field

from sharpen.core.budget import Usage
from sharpen.core.policy import Policy
from sharpen.core.records import Record, digest
from sharpen.core.updater import Updated, Workbench
from sharpen.learners.skill_writer import Case, Rewrite, described, library_of, named
from sharpen.sandbox.process import Limits, run_python
from sharpen.stores.skills import Library, Skill

FOCUS = (
    'x.rsplit(":", 1)[-1]',
    "x.strip().splitlines()[-1]",
    "x.strip().splitlines()[0]",
    'x.split(".", 1)[0]',
    'x.split("?", 1)[0]',
)
"""Text to text: where to look."""
EXTRACT = (
    'list(map(int, re.findall(r"\\d+", x)))',
    'list(map(int, re.findall(r"-?\\d+", x)))',
    'list(map(int, re.findall(r"[-+]?\\d+", x.replace(" ", ""))))',
    'list(map(float, re.findall(r"-?\\d+(?:\\.\\d+)?", x)))',
    're.findall(r"[A-Za-z]+", x)',
    'x.strip().split(", ")',
    "x.split()",
    "list(x.strip())",
    're.findall(r\'"([^"]*)"\', x)',
)
"""Text to list: what to take out."""
STEP = (
    "sorted(x)",
    "sorted(x, reverse=True)",
    "x[::-1]",
    "x[1:]",
    "x[:-1]",
    "list(dict.fromkeys(x))",
    "sorted(x, key=len)",
    "sorted(x, key=str.lower)",
    "[item[::-1] for item in x]",
    "[abs(item) for item in x]",
    "[item for item in x if item % 2 == 0]",
    "[item for item in x if item % 2]",
)
"""List to list."""
TREES = tuple(f"x[0] {a} x[1]" for a in ("-", "//", "%")) + tuple(
    tree.format(a=a, b=b)
    for a, b in product(("+", "-", "*", "//"), repeat=2)
    for tree in ("(x[0] {a} x[1]) {b} x[2]", "x[0] {a} (x[1] {b} x[2])")
)
REDUCE = (
    *(
        "sum(x)",
        "math.prod(x)",
        "max(x)",
        "min(x)",
        "len(x)",
        "x[0]",
        "x[-1]",
        "math.gcd(*x)",
        "math.lcm(*x)",
    ),
    *('", ".join(map(str, x))', '" ".join(map(str, x))', '"".join(map(str, x))', '",".join(map(str, x))'),
    *("x[-1].count(x[0])", "x[0].count(x[-1])", "len(set(x))", "max(x) - min(x)", "sum(x) / len(x)"),
    *("max(x, key=len)", "min(x, key=len)", 'bin(x[-1]).count("1")', *TREES),
)
"""List to value."""
VALUE = ("-x", "abs(x)", "x + 1", "x - 1", "x * 2", "x // 2", "round(x)", "str(x)[::-1]", "str(x).lower()")
"""Value to value."""
LINES = (*FOCUS, *EXTRACT, *STEP, *REDUCE, *VALUE)
HEAD = '"""Made of template edits. The question comes in as text; the answer goes out as text."""\n'
FRAME = (
    HEAD
    + "\n{imports}def solve(question: str) -> str:\n"
    + '    """Answer a question."""\n    x = question\n{lines}\n    return str(x)\n'
)
LINE = re.compile(r"^    x = (?P<line>.+)$", re.MULTILINE)
MAX_LINES = 12
MAX_QUESTION = 4_000
GUARDS = 6
"""Words and word pairs at most that a conditional edit is tried with."""
LIMITS = Limits(seconds=60.0, output=100_000)
TRIAL = '''
import io, json, math, os, re, sys

out = os.fdopen(os.dup(1), "w")
order = json.loads(sys.stdin.read())
sys.stdin, sys.stdout = io.StringIO(), io.StringIO()
code = [compile(line, "line", "eval") for line in order["lines"]]

class Trials:
    """Values of programs' beginnings on one case, each worked out once."""

    def __init__(self, question, right):
        self.space = {"math": math, "re": re, "question": question}
        self.right, self.known = right, {(): question}

    def value(self, program):
        if program not in self.known:
            before = self.value(program[:-1])
            try:
                found = None if before is None else eval(code[program[-1]], {**self.space, "x": before})
                self.known[program] = None if isinstance(found, int) and abs(found) > 1 << 400 else found
            except Exception:
                self.known[program] = None
        return self.known[program]

    def solved(self, program):
        before = self.value(program[:-1])
        if before is None:
            return False
        try:
            return str(eval(code[program[-1]], {**self.space, "x": before})) == self.right
        except Exception:
            return False

first, *others = [Trials(*case) for case in order["failures"]]
keep = [Trials(*case) for case in order["keep"]]
best, most = None, 0
for place, program in enumerate(map(tuple, order["programs"])):
    if first.solved(program) and all(case.solved(program) for case in keep):
        count = 1 + sum(case.solved(program) for case in others)
        if count > most:
            best, most = place, count
out.write(json.dumps({"best": best, "solved": most}))
out.flush()
'''

Program = tuple[str, ...]


class Found(Record):
    """The best candidate: its place, and how many failures it solves; None if none solves the first."""

    best: int | None = None
    solved: int = 0


class EditWriter(Record):
    """Updater: the skill rewritten by one edit, or a new skill from the space of lines."""

    budget: int = Field(default=40_000, ge=1)
    """Candidate programs tried at most in a call."""

    @property
    def fingerprint(self) -> str:
        """Hash of its settings and of the space."""
        return digest(["edits", self, LINES, FRAME])

    def update(self, work: Workbench, policy: Policy, batch: Rewrite) -> Updated:
        """The policy with the skill written; unchanged if no candidate fits a third of the failures."""
        library = library_of(work, policy)
        old = library.get(batch.skill) if batch.skill else None
        space = patches(read_lines(old.code), guards(batch)) if old else chains()
        programs = list(dict.fromkeys(islice(space, self.budget)))
        found = try_all(programs, batch) if programs else Found()
        usage = Usage(environment_steps=len(programs))
        report = {"candidates": len(programs), "solved": found.solved}
        if found.best is None or found.solved < ceil(len(batch.failures) / 3):
            return Updated(policy=policy, usage=usage, report=report)
        skill = written(library, old, programs[found.best], batch, found.solved)
        artifact = library.put(skill).stored(work.store, policy)
        return Updated(policy=policy.with_part(artifact), usage=usage, report=report)


def chains() -> Iterator[Program]:
    """Every chain, the shorter ones first: [focus] extract [step] reduce [value]."""
    looks: tuple[Program, ...] = ((), *((line,) for line in FOCUS))
    for look, extract, reduce in product(looks, EXTRACT, REDUCE):
        yield (*look, extract, reduce)
    for look, extract, step, reduce in product(looks, EXTRACT, STEP, REDUCE):
        yield (*look, extract, step, reduce)
    for look, extract, reduce, value in product(looks, EXTRACT, REDUCE, VALUE):
        yield (*look, extract, reduce, value)


def patches(old: Program, words: Sequence[str]) -> Iterator[Program]:
    """Every program one edit away: a line deleted, replaced or inserted, always or where a word is asked."""
    if not old:
        return
    yield from (old[:place] + old[place + 1 :] for place in range(len(old)) if len(old) > 1)
    tests = ["", *(f'"{word}" in question.lower()' for word in words)]
    for test, line in product(tests, LINES):
        for place in range(len(old) + 1):
            head, tail = old[:place], old[place:]
            if len(old) < MAX_LINES:
                yield (*head, _if(test, line, "x"), *tail)
            if tail:
                yield (*head, _if(test, line, tail[0]), *tail[1:])


def _if(test: str, then: str, other: str) -> str:
    return f"{then} if {test} else {other}" if test else then


def guards(batch: Rewrite) -> tuple[str, ...]:
    """Words and word pairs of the first failure that tell it from what must stay, the best first.

    Best are those of the fewest questions that must stay, then of the most failures.
    """
    kept = [set(_phrases(case.question)) for case in batch.keep]
    rest = [set(_phrases(case.question)) for case in batch.failures[1:]]
    first = dict.fromkeys(_phrases(batch.failures[0].question))
    telling = {said: (sum(said in k for k in kept), -sum(said in r for r in rest)) for said in first}
    return tuple(sorted(telling, key=telling.__getitem__)[:GUARDS])


def _phrases(question: str) -> list[str]:
    text = question.lower()[:MAX_QUESTION]
    return re.findall(r"[a-z]{3,20}", text) + re.findall(r"(?=\b([a-z]{2,20} [a-z]{3,20})\b)", text)


def read_lines(code: str) -> Program:
    """The lines of a program of this writer's form; none for any other code, which it cannot edit."""
    lines = tuple(found["line"] for found in LINE.finditer(code))[1:]
    return lines if len(lines) <= MAX_LINES and code == program_text(lines) else ()


def program_text(lines: Program) -> str:
    """The Python source of a chain of lines."""
    body = "\n".join(f"    x = {line}" for line in lines)
    needed = "".join(f"import {name}\n" for name in ("math", "re") if f"{name}." in body)
    return FRAME.format(imports=needed + "\n\n" if needed else "\n", lines=body)


def try_all(programs: Sequence[Program], batch: Rewrite) -> Found:
    """The first program that solves the first failure, keeps what must stay and solves most of the rest."""
    lines = list(dict.fromkeys(line for program in programs for line in program))
    places = {line: place for place, line in enumerate(lines)}
    order = {
        "lines": lines,
        "programs": [[places[line] for line in program] for program in programs],
        "failures": [_pair(case) for case in batch.failures],
        "keep": [_pair(case) for case in batch.keep],
    }
    ran = run_python({"trial.py": TRIAL.encode()}, "trial.py", stdin=json.dumps(order), limits=LIMITS)
    return Found.model_validate_json(ran.stdout) if ran.stdout else Found()


def _pair(case: Case) -> tuple[str, str]:
    return case.question, case.right


def written(library: Library, old: Skill | None, lines: Program, batch: Rewrite, solved: int) -> Skill:
    """The skill with these lines; its counters start anew with the new code."""
    questions = [case.question for case in batch.failures]
    steps = "\n".join(f"{number}. `x = {line}`" for number, line in enumerate(lines, 1))
    text = f"# Steps\n\n{steps}\n\nWritten for {len(questions)} failures, of which it solved {solved}."
    name, description = (
        (old.name, old.description) if old else (named(library, questions), described(questions))
    )
    return Skill(
        name=name,
        description=description,
        instructions=text,
        code=program_text(lines),
        writes=(old.writes if old else 0) + 1,
    )
