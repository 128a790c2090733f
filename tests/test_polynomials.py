"""The quick comparison of polynomials agrees with the slow one, and leaves alone what is unclear."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sharpen.verifiers.math import plain
from sharpen.verifiers.polynomials import MOST_TERMS, polynomial, same_polynomial

LETTERS = st.sampled_from(["x", "y", "n"])
NUMBERS = st.one_of(
    st.integers(1, 40).map(str),
    st.sampled_from(["0.5", "1.25", r"\frac{3}{4}", r"\frac{x+1}{2}", r"\pi", r"\sqrt{2}", r"\sqrt{12}"]),
)
ATOMS = st.one_of(
    NUMBERS,
    LETTERS,
    st.tuples(LETTERS, st.integers(2, 3)).map("{0[0]}^{0[1]}".format),
    st.tuples(LETTERS, st.integers(1, 9)).map("({0[0]}+{0[1]})".format),
)
PRODUCTS = st.lists(ATOMS, min_size=1, max_size=2).map(r"\cdot ".join)
SUMS = st.lists(st.tuples(st.sampled_from("+-"), PRODUCTS), min_size=1, max_size=3)


def written(terms: list[tuple[str, str]]) -> str:
    text = "".join(sign + product for sign, product in terms)
    return plain(text.removeprefix("+"))


@given(SUMS, st.randoms(use_true_random=False))
def test_the_order_of_terms_does_not_matter(terms: list[tuple[str, str]], chance: object) -> None:
    turned = list(terms)
    chance.shuffle(turned)  # type: ignore[attr-defined]
    one, other = written(terms), written(turned)
    if polynomial(one) is not None:
        assert same_polynomial(one, other) is True
        assert same_polynomial(one, f"{other}+1") is False
        assert same_polynomial(one, f"({other})+({other})-({one})") is True


@settings(max_examples=40, deadline=None)
@given(SUMS, SUMS)
def test_quick_and_slow_comparison_agree(terms: list[tuple[str, str]], others: list[tuple[str, str]]) -> None:
    pytest.importorskip("math_verify")
    from sharpen.verifiers.formulas import same_formula

    one = written(terms)
    for other in (written(terms[::-1]), written(others), written([*terms, ("+", "1")])):
        quick = same_polynomial(one, other)
        if quick is not None and one != other and len(one + other) < 60:
            assert same_formula(one, other) is quick, (one, other)


def test_terms_are_exact() -> None:
    assert polynomial(r"\frac{2x+1}{4}-\sqrt{12}\pi") == {
        (("x", 1),): Fraction(1, 2),
        (): Fraction(1, 4),
        ((r"\pi", 1), (r"\sqrt3", 1)): Fraction(-2),
    }
    assert polynomial("x-x") == {} and polynomial("3x/4") == {(("x", 1),): Fraction(3, 4)}


@pytest.mark.parametrize(
    "text",
    [
        "", "1/2x", "xy", "x(x+1)", r"2\frac{1}{2}", "x^10", "x^{10}", "x2", "2x3", "e", "i", "dx", "1,000x",
        "x=2", "(1,2)", r"\{1,2\}", "x!", "--x", "x/0", "1/x", r"\frac{1}{x}", r"\sqrt{x}",
        r"\sqrt{2}\sqrt{3}",
        "(x+1", "x+1)", "x+", "+", "x^-1", "x^{2+1}", "²", "\u0664x", r"\sin(x)", "f(x)", "x_1", "\\pix",
        "(a+b+c+h+k+m+n+p+q)^9", "((((9999999^9)^9)^9)^9)^9", "9" * 13 + "x", "(" * 12 + "x" + ")" * 11,
    ],
)  # fmt: skip
def test_what_is_unclear_or_large_is_left_alone(text: str) -> None:
    assert polynomial(text) is None
    assert same_polynomial("x", text) is None


def test_equal_values_in_other_letters_are_left_alone() -> None:
    assert same_polynomial(r"\pi", r"\pi+x-x") is None
    assert same_polynomial("2x", "2y") is False
    assert MOST_TERMS < 100
