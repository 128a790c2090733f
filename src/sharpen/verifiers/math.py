"""Mathematical answers in LaTeX or plain text, compared by meaning (math-verify, held on a short lead).

The final answer is judged: the text at the last marker, else the last line if it is a formula or holds one
`$...$`.

1. Equal text, after dropping LaTeX layout, is right.
2. Where the reference is a plain number, the answer must be one too (`\\frac{a}{b}` counts), exactly equal:
   unevaluated arithmetic, decimals of exact values, units and times of day are wrong.
3. Polynomials with rational coefficients, in letters, pi and roots of whole numbers, are compared exactly.
   Otherwise math-verify must call the two equal, and a second look must confirm it: both of one kind, and
   equal to 30 digits, relatively, wherever they are evaluated. The second look is there because math-verify
   takes any two tiny numbers for equal, and can take one equation for any other.
4. `±`, and an equation sign (except in `x = value`), must stand in both or neither. A formula that is copied
   from the question earns nothing unless it is the reference itself, and neither does one with a sign of what
   is left to be done (an integral, a sum, a limit, a maximum), of approximation, or of a unit, unless the
   reference has it, too.
5. Factorials, towers of powers, deep nesting and numbers beyond 50 digits are compared as text only.
"""

from __future__ import annotations

import re

from sharpen.core.task import Task
from sharpen.core.verdict import Rejected, Verdict
from sharpen.verifiers.answers import SEVERAL, Final, Number, final_answer, parse_number, undress
from sharpen.verifiers.base import (
    NEEDS_ONE_ANSWER,
    NO_ANSWER,
    RIGHT,
    Isolation,
    bad_reference,
    cases,
    wrong,
)
from sharpen.verifiers.polynomials import same_polynomial

ISOLATION = Isolation.PROCESS
PRELOAD = ("sharpen.verifiers.warm",)
PACKAGES = ("math-verify", "latex2sympy2_extended", "sympy")
LONGEST = 300
DEEPEST = 12
LAYOUT = re.compile(r"\\(?:left|right|displaystyle|,|;|!|:|quad|qquad)(?![A-Za-z])|\s+")
SPAN = re.compile(r"\$([^$]{1,300})\$")
WORDS = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{2,}[\s,]+[A-Za-z]{2,}")
HUGE = re.compile(r"!|\d{51}|\^\s*\{[^{}]*\^|\^\s*\{?\s*-?\s*\d{4}|\\?factorial|\^[^{]\^")
SIMPLE_FRACTION = re.compile(r"(-?)\\frac\{(\d{1,60})\}\{(\d{1,60})\}", re.ASCII)
ASSIGNMENT = re.compile(r"[A-Za-z](?:_\w|\([a-z]\))?=(?P<value>[^=]+)")
DIFFERENT = wrong("not the same as the reference")
UNDONE = re.compile(
    r"\\(?:i*int|oint|sum|prod|lim|max|min|sup|inf|gcd|lcm|det|approx|simeq|sim|equiv|cong|text|circ"
    r"|[hv]?phantom)(?![A-Za-z])|\\mathrm\{[^{}]{2}|[°≈]"
)
UNREADABLE = Rejected(reason="too large or too odd a formula to judge")


def verify(response: str, task: Task) -> Verdict:
    """1 if the final answer means the same as the task's answer; see the rules above."""
    wanted = plain(_inside(task.answer))
    if not wanted:
        return bad_reference("the task's answer is empty")
    final = final_answer(response)
    found = plain(_formula(final)) if final else ""
    if not found:
        return NO_ANSWER
    if found == wanted:
        return RIGHT
    return _compare(found, wanted, plain(task.question))


def extract(response: str) -> str | None:
    """The final formula without layout; a plain number in lowest terms."""
    final = final_answer(response)
    found = plain(_formula(final)) if final else ""
    number = _number(found)
    return str(number) if number else found or None


def plain(text: str) -> str:
    """A formula without layout and dollar signs, with one spelling of fractions and minus."""
    text = undress(text).replace("$", "").replace("\u2212", "-")
    text = re.sub(r"\\[dt]frac", r"\\frac", text)
    text = re.sub(r"\\frac\s*(\d)\s*(\d)", r"\\frac{\1}{\2}", text)
    return re.sub(r"\\sqrt\s*(\d)", r"\\sqrt{\1}", LAYOUT.sub("", text))


def _inside(answer: str) -> str:
    final = final_answer(answer)
    return final.text if final and final.marked else answer


def _formula(final: Final) -> str:
    """The formula in a final answer; empty if it is prose."""
    if len(final.text) > LONGEST:
        return ""
    spans = SPAN.findall(final.text)
    if len(spans) == 1 and not final.marked:
        return str(spans[0])
    return "" if WORDS.search(final.text) else final.text


def _number(text: str) -> Number | None:
    return parse_number(SIMPLE_FRACTION.sub(r"\1\2/\3", text))


def _compare(found: str, wanted: str, question: str) -> Verdict:
    exact = _number(wanted)
    if exact is not None:
        return _as_number(found, exact)
    if HUGE.search(found) or _nesting(found) > DEEPEST:
        return UNREADABLE
    if HUGE.search(wanted) or _nesting(found) < 0:
        return wrong("another text than the reference")
    if ("±" in found or r"\pm" in found) != ("±" in wanted or r"\pm" in wanted):
        return wrong("± on one side only")
    if set(UNDONE.findall(found)) - set(UNDONE.findall(wanted)):
        return wrong("not evaluated, not exact, or with a unit")
    found, wanted = _without_name(found, wanted), _without_name(wanted, found)
    if ("=" in found) != ("=" in wanted):
        return wrong("an equation on one side only")
    if len(found) > 2 and found in question:
        return wrong("copied from the question")
    same = same_polynomial(wanted, found)
    if same is not None:
        return RIGHT if same else DIFFERENT
    from sharpen.verifiers.formulas import same_formula

    return RIGHT if same_formula(wanted, found) else DIFFERENT


def _nesting(text: str) -> int:
    """Deepest nesting of brackets of any kind; -1 if they do not balance."""
    depth = deepest = 0
    for sign in text:
        depth += (sign in "([{") - (sign in ")]}")
        deepest = max(deepest, depth)
    return deepest if depth == 0 else -1 if deepest <= DEEPEST else deepest


def _without_name(text: str, other: str) -> str:
    """`x=7` as `7` if the other side has no equation sign."""
    named = ASSIGNMENT.fullmatch(text) if "=" not in other else None
    return named["value"] if named else text


def _as_number(found: str, exact: Number) -> Verdict:
    number = _number(_without_name(found, ""))
    if number is None:
        return NEEDS_ONE_ANSWER if SEVERAL.search(found) else wrong("not one evaluated number")
    return RIGHT if number == exact else wrong(f"the answer read is {number}")


CASES = (
    *cases(
        r"\frac{3}{4}",
        question="What is 0.5+0.25?",
        gold=[
            "3/4",
            "0.75",
            r"$\frac34$",
            r"The answer is \boxed{\dfrac{3}{4}}.",
            "#### 3/4",
            r"x = \frac{3}{4}",
            "6/8",
        ],
        near_miss=[
            "4/3",
            "-3/4",
            "0.7500001",
            "3",
            "",
            "None",
            r"\frac{3}{4}\text{ km}",
            "3/4 km",
            "x = 3/5",
            "75",
        ],
        attack=[
            "3/4, 4/3",
            "3/4 or 1",
            "±3/4",
            "3/4=4/3",
            "1=1",
            "x=x",
            "True",
            ":",
            "3/4!",
            r"\boxed{}",
            "0.75±1",
        ],
    ),
    *cases(
        r"4\sqrt2",
        gold=[r"$4\sqrt{2}$", r"\sqrt{32}", r"4 \sqrt 2"],
        near_miss=["$4$", "5.65685424949", r"4\sqrt3"],
    ),
    *cases(
        "4",
        gold=["$4$"],
        near_miss=[r"$4\sqrt2$", "2+2", r"\sqrt{16}", "4\\%"],
        attack=["x+2=6", "4=4", "1=2=5"],
    ),
    *cases(r"\frac{1}{2004!}", gold=[r"\frac{1}{2004!}"], near_miss=[r"\frac{1}{2006!}", "0", "1/2006!"]),
    *cases("12:00", gold=["12:00"], near_miss=["1:00", "12", "12:01"]),
    *cases("2021", gold=["2021"], near_miss=["-2021"], attack=[r"\pm2021", "±2021", r"\pm 2021"]),
    *cases(r"\pm 2", gold=[r"$\pm2$"], near_miss=["2", "-2"]),
    *cases("10^{-20}", gold=["10^{-20}", "1/10^{20}"], near_miss=["10^{-21}", "0"]),
    *cases(
        r"\pi", gold=[r"\pi", r"$\frac{2\pi}{2}$"], near_miss=["3.14159265358979", "22/7", r"-\pi", r"2\pi"]
    ),
    *cases(
        "x^2-1",
        question="Expand $(x-1)(x+1)$.",
        gold=["x^2-1", "$-1+x^2$", "y = x^2 - 1"],
        near_miss=["x^2+1", "(x-1)(x+1)", "y^2-1", "x^2", "x^2-1=0"],
        attack=["0=0", "x=x", r"2003^{2002^{2001}}", "x^{9999999}", "9" * 200, "(" * 200],
    ),
    *cases(
        r"\sqrt{2}",
        question=r"What is $\int_0^1\sqrt{2}dx$?",
        gold=["2^{1/2}", r"\frac{2}{\sqrt2}"],
        near_miss=[r"\sqrt{2}\approx 17", r"\sqrt{2}^\circ", r"\sqrt{2}\text{ cm}", r"\sqrt2\mathrm{cm}"],
        attack=[r"\int_0^1\sqrt{2}dt", r"\max(\sqrt{2},1)", r"\phantom{\sqrt{2}}", r"\sqrt{2}\text{ or }3"],
    ),
    *cases("x=2", gold=["x=2", "2"], near_miss=["y=2", "x=3", "3", "x=2=3"], attack=["1=1", "x=x", "0=0"]),
    *cases(
        "x+y=3",
        gold=["x+y=3", "y+x=3", "2x+2y=6"],
        near_miss=["x+y=4", "x-y=3", "3"],
        attack=["1=1", "0=1", "x=x"],
    ),
    *cases(r"\{1,2\}", gold=[r"\{2,1\}", r"$\{1, 2\}$"], near_miss=[r"\{1,3\}", "1", r"\{1,2,3\}"]),
    *cases("(1,2)", gold=["$(1,2)$", "(1, 2)"], near_miss=["(2,1)", "[1,2]", "1,2", "(1,2,3)"]),
    *cases("x>2", gold=["x>2", "2<x"], near_miss=["x<2", "x>=2", "x>3", "2"]),
    *cases(r"\text{even}", gold=[r"\text{even}"], near_miss=[r"\text{odd}", r"\text{even or odd}"]),
)
