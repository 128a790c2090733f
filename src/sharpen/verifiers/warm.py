"""Importing this warms the parser of formulas up, for processes that are forked afterwards.

The parser keeps what it has worked out of its grammar; a fresh one takes many times as long over a formula.
"""

from __future__ import annotations

from typing import Final

from sharpen.verifiers.formulas import same_formula

LEARNT: Final = (
    ("9x+10", "10+9x"),
    ("x^2-1", "-1+x^{2}"),
    (r"4\sqrt{2}", r"\sqrt{32}"),
    (r"\frac{3}{4}\pi", r"\frac{6\pi}{8}"),
    ("(1,2)", "(2,1)"),
    (r"\{1,2\}", r"\{2,1\}"),
    ("x+y=3", "y+x=3"),
    ("x>2", "2<x"),
)
"""Pairs of the usual shapes."""

SAME: Final = tuple(same_formula(wanted, found) for wanted, found in LEARNT)
"""What is said of them."""
