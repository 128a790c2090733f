"""T6: hostile texts at everything that reads what a model, a user's file or a damaged disk says.

A parser may answer, or raise the errors it declares; anything else is a crash. Inputs are texts of its own
language that were cut, doubled, spliced and filled with what breaks parsers. Time is the process's own, so
that a busy machine is not taken for a slow parser.
"""

from __future__ import annotations

import json
import signal
import string
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from fractions import Fraction
from functools import cache, partial
from pathlib import Path
from random import Random
from tempfile import mkdtemp
from typing import Any, NamedTuple

from pydantic import JsonValue, ValidationError

from sharpen.core.budget import Budget
from sharpen.core.errors import BadInput, Damaged
from sharpen.core.journal import Entry, Wall, read_row
from sharpen.core.records import decode, encode
from sharpen.core.seeds import random_for
from sharpen.core.spec import Spec
from sharpen.core.task import Task
from sharpen.core.verdict import Error, Rejected, Scored
from sharpen.curation.remarks import approved
from sharpen.environments.tools import parse as parse_move
from sharpen.experiment.manifest import Manifest
from sharpen.experiment.spec import RunSpec
from sharpen.judges.asking import FIELD, final_field, quoted
from sharpen.learners.skill_writer import Case, Rewrite
from sharpen.learners.skill_writer import parsed as written_skill
from sharpen.models.hf_file import read_checked
from sharpen.models.http_wire import parsed
from sharpen.models.openai import _ChatAnswer
from sharpen.models.replies import Reply
from sharpen.monitors.leaks import Questions, texts_in
from sharpen.sandbox.calling import _read as sandbox_answer
from sharpen.serve.wire import ChatRequest
from sharpen.stores.memory import Item, Memory, markdown
from sharpen.stores.pipelines import Pipeline, Rule, Unusable, answer, parse_pipeline
from sharpen.stores.programs import Refused, parse_reply, starter_program
from sharpen.stores.skills import Library, starters
from sharpen.tasks.code_blocks import python_blocks
from sharpen.tasks.duplicates import clusters
from sharpen.tasks.files import load_file
from sharpen.verifiers import choice, countdown, exact, math, numeric, regex, strict
from sharpen.verifiers.polynomials import same_polynomial

INPUTS, BLOCKS = 10_000, 10
SLOW = 0.05
"""Seconds of the process's own time that one input may take; a slow one is tried again twice."""
HANG = 5.0
ORACLE = 5_000

NASTY = (
    *("\x00", "\ud800", "\u202e", "\u200b", "\u0664", "\uff11", "\ufeff", "\x1b[31m", "\r", "\u2028", "\x85"),
    *("NaN", "-Infinity", "1e999999999", "9" * 5000, "0x10", "1_000", "--1", "1/0", "\u2212", "\u00bd"),
    *(
        "{" * 200,
        "[" * 3000,
        "(" * 500,
        '{"a":' * 500,
        "\\" * 50,
        "\\boxed{",
        "####",
        "</answer>",
        "<answer>",
    ),
    *(
        "Verdict: yes",
        "[[10]]",
        "{answer}",
        "{0.__class__}",
        "%s%n",
        "=" * 100,
        "^" * 60,
        "!" * 60,
        "a" * 20_000,
    ),
    *(
        "---\n",
        "```",
        "<<<<<<< SEARCH",
        "=======",
        ">>>>>>> REPLACE",
        "../../etc/passwd",
        "null",
        "true",
        '"',
        ",",
    ),
)
PUMPS = (
    " ",
    "\t",
    "\n",
    " \n",
    ": ",
    "= ",
    "is ",
    "0",
    "```python\n",
    "---\n",
    "<think> ",
    "\\boxed{",
    "{",
    "a,b\n",
)
LETTERS = string.ascii_letters + string.digits + " \n.,:=+-*/%$#{}[]()<>\\\"'"


class Parser(NamedTuple):
    """What is tried."""

    read: Callable[[str], object]
    corpus: Sequence[str]
    declared: tuple[type[Exception], ...] = ()
    holds: Callable[[str, Any], bool] = lambda text, result: True
    """What must be true of every result."""
    longest: int = 100_000
    """Characters of an input at most."""


class Hang(BaseException):
    """Raised by the alarm; no `except Exception` swallows it."""


@contextmanager
def alarm(seconds: float) -> Iterator[None]:
    """Interrupt what takes longer than this of the process's own time."""

    def stop(*_: object) -> None:
        raise Hang

    old = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, old)


def mutated(rng: Random, corpus: Sequence[str]) -> str:
    """A text of the language with a few things done to it."""
    text = rng.choice(corpus)
    for _ in range(rng.choice((0, 1, 1, 2, 3, 6))):
        start, end = sorted((rng.randint(0, len(text)), rng.randint(0, len(text))))
        match rng.randrange(8):
            case 0:
                text = text[:start] + text[end:]
            case 1:
                text = text[:end] + text[start:]
            case 2:
                hostile = rng.choice(NASTY) if rng.random() < 0.5 else pump(rng, text[start:end])
                text = text[:start] + hostile + text[start:]
            case 3:
                other = rng.choice(corpus)
                text = text[:start] + other[rng.randint(0, len(other)) :]
            case 4:
                text = text[:start] + "".join(rng.choices(LETTERS, k=rng.randint(1, 8))) + text[start + 1 :]
            case 5:
                text = text[:start] + text[start:end] * rng.choice((2, 3, 50)) + text[end:]
            case 6:
                text = (
                    text[:start]
                    + chr(rng.choice((rng.randrange(128), rng.randrange(0x110000))))
                    + text[start:]
                )
            case 7:
                text = rng.choice((text.upper(), text[::-1], text.strip(), text + "\n" * rng.randint(1, 99)))
        text = text[:100_000]
    return text


def pump(rng: Random, text: str) -> str:
    """A few characters very often: what makes a reader that goes back and forth take forever."""
    piece = rng.choice((text[:12], text[-3:], rng.choice(PUMPS), rng.choice(LETTERS)))
    return piece * (rng.choice((1_000, 10_000, 50_000)) // max(1, len(piece)))


def trouble(parser: Parser, text: str) -> str | None:
    """What is wrong with how a parser took an input; None for nothing."""
    for attempt in range(3):
        began = time.process_time()
        try:
            with alarm(HANG):
                result = parser.read(text)
        except parser.declared:
            result = None
            fine = True
        except Hang:
            return "hang"
        except Exception as error:  # noqa: BLE001  # whatever is raised is what is looked for
            return f"crash: {type(error).__name__}: {error}"[:200]
        else:
            fine = parser.holds(text, result)
        if not fine:
            return f"accepted: {result!r}"[:200]
        if time.process_time() - began <= SLOW or attempt == 2:
            break
    return None if time.process_time() - began <= SLOW else "slow"


def _file(suffix: str, read: Callable[[Path], object]) -> Callable[[str], object]:
    path = Path(mkdtemp(prefix="fuzz-")) / f"file{suffix}"

    def parse(text: str) -> object:
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        return read(path)

    return parse


def _verdict(module: Any, task: Task, right: Callable[[str], bool] | None = None, **options: Any) -> Parser:
    corpus = [case.response for case in module.CASES] or ["1"]

    def holds(text: str, result: Any) -> bool:
        known = isinstance(result, Scored | Rejected | Error)
        return known and (not isinstance(result, Scored) or result.value in (0.0, 1.0))

    def read(text: str) -> object:
        module.extract(text, **options)
        return module.verify(text, task, **options)

    return Parser(read, [text for text in corpus if len(text) < 3000], (), holds)


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _skills(ending: str) -> Parser:
    files = starters().files()
    place = next(name for name in files if name.endswith(ending))

    def read(text: str) -> object:
        return Library.read({**files, place: _raw(text)})

    return Parser(read, [data.decode() for name, data in files.items() if name.endswith(ending)], (BadInput,))


def _programs() -> Parser:
    program = starter_program()
    texts = [f"FILE {name}\n```python\n{text}```\n" for name, text in program.items()]
    texts += [f"EDIT {name}\n<<<<<<< SEARCH\na = 1\n=======\na = 2\n>>>>>>> REPLACE\n" for name in program]
    return Parser(parse_reply, texts, (Refused,))


def _new_skill(text: str) -> object:
    failed = Case(question="What is 3 and 4?", right="7")
    return written_skill(text, starters(), Rewrite(skill=None, failures=(failed,)))


def _endpoint(text: str) -> Reply:
    """What a chat endpoint sent, as a run keeps it."""
    answer = parsed(_raw(text), _ChatAnswer)
    choice, usage = answer.choices[0], answer.usage
    given = choice.logprobs.content if choice.logprobs else None
    return Reply(
        text=choice.message.content or "",
        prompt_tokens=usage.prompt_tokens,
        tokens=usage.completion_tokens,
        logprobs=tuple(token.logprob for token in given) if given else None,
        calls=choice.message.calls,
    )


def _request(text: str) -> object:
    asked = ChatRequest.model_validate(json.loads(text))
    return Task(messages=tuple(said.message() for said in asked.messages), answer="").key


def _pipeline(text: str) -> object:
    pipeline = parse_pipeline(_raw(text))
    return [answer(pipeline, question) for question in (text[:200], *QUESTIONS)]


def _journal(text: str) -> object:
    return read_row(Path("journal"), text, WALL, "0" * 64)


def _journal_times(text: str) -> object:
    return read_row(Path("journal"), ENTRY, text, "0" * 64)


ENTRY = encode(Entry(key="round.1/update", verb="update", inputs="0" * 64, blob="1" * 64)).decode()
WALL = encode(Wall(session="a", elapsed=1.0, seconds=0.5, model_seconds=0.1)).decode()
ROWS = "".join(
    json.dumps({"question": f"{n}+1?", "answer": str(n + 1), "split": "train"}) + "\n" for n in range(4)
)
COLUMNS = "question,answer\n" + "".join(f'"{n}, plus 1?",{n + 1}\n' for n in range(9))
REPLIES = (
    "I think so.\nVerdict: yes",
    "Verdict: no",
    "Verdict: maybe",
    "verdict: yes",
    "Verdict: yes\nNo.",
    "",
)
MOVES = ("<think> a <think> b <mem> what is it", "<know> who", "<ans> 42", "<ans> 42 <ans> 43", "<tool>")
ANSWERS = ('{"answer": {"l": [1, {"t": [2, "a"]}, {"d": [["k", null]]}, {"s": [3]}]}}', '{"error": "no"}')
HEADER = b'{"__metadata__":{"sharpen":"{}"},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
TENSORS = (len(HEADER).to_bytes(8, "little") + HEADER + bytes(4)).decode("latin-1")
PIPELINE = encode(Pipeline(rules=(Rule(word="What"), Rule(word="", threshold=3)))).decode()
MEMORY = encode(
    Memory(items=(Item(text="Add the tens first."), Item(text="Look twice.", cue="sum")))
).decode()
MANIFEST = encode(Manifest(spec=RunSpec(recipe="star", task="chain"), identity={"seed": 0})).decode()
BLOCKS_OF_CODE = (
    "```python\nprint(1)\n```",
    "So:\n```\nx = 1\n```\n  ```py\ny\n  ```\n",
    "```js\n1\n```",
    "````",
)
NEW_SKILL = (
    "```markdown\n---\nname: add-two\ndescription: Adds.\n---\nAdd.\n```\n"
    "```python\ndef solve(question: str) -> str:\n    return '7'\n```\n"
)
SENT = json.dumps(
    {
        "choices": [
            {
                "message": {
                    "content": "Yes.",
                    "tool_calls": [{"id": "a", "function": {"name": "python", "arguments": '{"code": "1"}'}}],
                },
                "finish_reason": "stop",
                "logprobs": {"content": [{"logprob": -0.5}]},
            }
        ],
        "usage": {"prompt_tokens": 3, "completion_tokens": 1},
    }
)
ASKED = json.dumps(
    {
        "model": "m",
        "messages": [
            {"role": "user", "content": "1+1?"},
            {"role": "user", "content": [{"type": "text", "text": "x"}]},
        ],
        "temperature": 0.5,
        "stop": ["\n"],
    }
)
QUESTIONS = ("What is 3 and 4?", "", "Sort: b a c", "\u0664 9 " * 50)
POLYNOMIALS = ("x^2-1", r"2\sqrt{3}x+\pi", r"\frac{x}{2}+(x-1)*(x+1)", "-x^{9}+5xy", "3/4")
HELD_OUT = [
    Task.ask(f"How many apples are left of {n} if {n // 2} are eaten?", str(n - n // 2)) for n in range(9)
]


def _ends_in_verdict(text: str, result: Any) -> bool:
    last = text.strip().rpartition("\n")[2].casefold()
    return result is None or (last.startswith(f"{FIELD}:".casefold()) and last.strip().endswith(result))


def _stands_in(text: str, blocks: Any) -> bool:
    return sum(map(len, blocks)) <= len(text) and all(block in text for block in blocks[:3])


def _kept(text: str, reply: Any) -> bool:
    """Whether a reply is read back from what is stored of it."""
    return bool(decode(Reply, encode(reply)) == reply)


@cache
def parsers() -> Mapping[str, Parser]:
    """All that is tried, by name."""
    options = Task.ask("Which?", "B", metadata={"choices": {"A": "one", "B": "two", "C": "three"}})
    numbers = Task.ask("Make 24.", "24", metadata={"numbers": [1, 2, 3, 4], "target": 24})
    return {
        "numbers": _verdict(numeric, Task.ask("17+25=?", "42")),
        "formulas, up to their meaning": _verdict(math, Task.ask("x?", "42")),
        "polynomials": Parser(
            partial(same_polynomial, "x^2-1"), POLYNOMIALS, (), lambda text, same: same in (None, True, False)
        ),
        "exact answers": _verdict(exact, Task.ask("?", "a b")),
        "choices": _verdict(choice, options),
        "arithmetic expressions": _verdict(countdown, numbers),
        "captured answers": _verdict(regex, Task.ask("?", "7"), pattern=r"so (\d+)"),
        "whole responses": _verdict(strict, Task.ask("?", "7")),
        "verdicts of judges": Parser(
            partial(final_field, words=("yes", "no")), REPLIES, (), _ends_in_verdict
        ),
        "feedback": Parser(approved, REPLIES, (), lambda text, result: result in (None, True, False)),
        "quoted texts": Parser(
            quoted, REPLIES, (), lambda text, shown: all(line[:2] == "> " for line in shown.split("\n"))
        ),
        "tool calls": Parser(parse_move, MOVES),
        "code blocks": Parser(python_blocks, BLOCKS_OF_CODE, (), _stands_in),
        "replies that write skills": Parser(_new_skill, [NEW_SKILL]),
        "replies of endpoints": Parser(_endpoint, [SENT], (ValueError,), _kept),
        "requests to a server": Parser(_request, [ASKED], (ValueError, RecursionError)),
        "edits of programs": _programs(),
        "skills": _skills(".md"),
        "code of skills": _skills(".py"),
        "counters of skills": _skills(".json"),
        "pipelines": Parser(_pipeline, [PIPELINE], (Unusable,)),
        "memories": Parser(lambda text: markdown(decode(Memory, _raw(text))), [MEMORY], (ValidationError,)),
        "reports from the sandbox": Parser(sandbox_answer, ANSWERS),
        "journal rows": Parser(_journal, [ENTRY], (Damaged,)),
        "journal times": Parser(_journal_times, [WALL, f"{WALL}#0123456789abcdef"], (Damaged,)),
        "manifests": Parser(lambda text: decode(Manifest, _raw(text)), [MANIFEST], (ValidationError,)),
        "JSONL tasks": Parser(
            _file(".jsonl", partial(load_file, seed=0)), [ROWS], (BadInput,), longest=20_000
        ),
        "CSV tasks": Parser(
            _file(".csv", partial(load_file, seed=0)), [COLUMNS], (BadInput,), longest=20_000
        ),
        "safetensors files": Parser(_file(".safetensors", read_checked), [TENSORS], (Damaged,)),
        "specs": Parser(
            partial(Spec.parse, kind="task"), ["chain?level=3&a=%26", "rg:gcd?x=[1,2]"], (BadInput,)
        ),
        "budgets": Parser(Budget.parse, ["sampled_tokens=2e6,seconds=600"], (BadInput,)),
        "leaks in texts": Parser(
            lambda text: Questions(HELD_OUT, ()).within(texts_in(_raw(text))), [HELD_OUT[3].question, MEMORY]
        ),
        "near-duplicates": Parser(
            lambda text: clusters([text, *(task.question for task in HELD_OUT)]),
            [HELD_OUT[3].question],
            longest=4_000,
        ),
    }


def tried(name: str, count: int, rng: Random) -> dict[str, JsonValue]:
    """Inputs at one parser: how many gave trouble, and the first of them."""
    parser, found = parsers()[name], []
    for _ in range(count):
        text = mutated(rng, parser.corpus)[: parser.longest]
        problem = trouble(parser, text)
        if problem:
            found.append([problem, text[:300].encode("ascii", "backslashreplace").decode()])
    return {"inputs": count, "troubles": len(found), "first": found[:3], "ok": not found}


def oracle(count: int, rng: Random) -> dict[str, JsonValue]:
    """The verifier of numbers against exact rationals, written in many ways; and its relations."""
    wrong: list[JsonValue] = []
    for _ in range(count):
        one, other = rational(rng), rational(rng)
        other = one if rng.random() < 0.5 else other
        said, wanted = written(one, rng), written(other, rng)
        there = _right(f"#### {said}", wanted)
        back = _right(f"\\boxed{{{wanted}}}", said)
        if there != (one == other) or back != there or not _right(said, said):
            wrong.append([said, wanted])
    return {"inputs": count, "troubles": len(wrong), "first": wrong[:3], "ok": not wrong}


def rational(rng: Random) -> Fraction:
    """A number, small ones often."""
    below = rng.choice((1, 1, 2, 3, 4, 5, 8, 10, 100, 10 ** rng.randint(1, 12)))
    return Fraction(rng.choice((-1, 1)) * rng.randrange(10 ** rng.randint(1, 12)), below)


def written(number: Fraction, rng: Random) -> str:
    """One of the ways to write a number."""
    sign, size = "-" if number < 0 else rng.choice(("", "", "+")), abs(number)
    factor = rng.choice((1, 1, 2, 7))
    ways = [f"{sign}{size.numerator * factor}/{size.denominator * factor}"]
    if size.denominator == 1:
        ways += [f"{sign}{size.numerator}", f"{sign}{size.numerator:,}", f"{sign}{size.numerator}.00"]
    places = next((n for n in range(16) if (size * 10**n).denominator == 1), None)
    if places:
        whole, part = divmod((size * 10**places).numerator, 10**places)
        ways += [f"{sign}{whole:,}.{part:0{places}}", f"{sign}{whole}.{part:0{places}}0"]
    return rng.choice(ways)


def _right(response: str, answer: str) -> bool:
    verdict = numeric.verify(response, Task.ask("?", answer))
    return isinstance(verdict, Scored) and verdict.value == 1.0


def units() -> list[str]:
    """Names of all units."""
    names = [*parsers(), "oracle"]
    return [f"{name} #{block}" for block in range(BLOCKS) for name in names]


def work(unit: str) -> dict[str, JsonValue]:
    """A block of inputs at one parser."""
    name, rng = unit.rpartition(" #")[0], random_for("fuzzing", unit)
    return oracle(ORACLE, rng) if name == "oracle" else tried(name, INPUTS, rng)


def table(rows: Mapping[str, Mapping[str, JsonValue]]) -> list[str]:
    """Inputs and troubles by parser, in Markdown."""
    lines = [
        "| reads | characters at most | inputs | crashes, hangs, slow ones, wrong acceptances |",
        "|---|---|---|---|",
    ]
    for name in [*parsers(), "oracle"]:
        some = [row for unit, row in rows.items() if unit.rpartition(" #")[0] == name]
        inputs, troubles = (sum(int(str(row[key])) for row in some) for key in ("inputs", "troubles"))
        shown = "numbers against exact rationals" if name == "oracle" else name
        longest = "" if name == "oracle" else f"{parsers()[name].longest:,}"
        lines += [f"| {shown} | {longest} | {inputs:,} | {troubles} |"] if some else []
    return lines
