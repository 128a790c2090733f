"""Readers of hostile texts take one pass: what once made them go back and forth is read, or refused, at once.

Nothing is timed: before, these texts took seconds to hours.
"""

from __future__ import annotations

import pytest

from sharpen.core.task import Task
from sharpen.core.verdict import value_of
from sharpen.judges.asking import final_field
from sharpen.learners.skill_writer import Case, Rewrite, parsed
from sharpen.stores.programs import Refused, parse_reply
from sharpen.stores.skills import starters
from sharpen.tasks.code_blocks import python_blocks
from sharpen.tasks.duplicates import clusters
from sharpen.verifiers import choice, numeric

SUM = Task.ask("17+25=?", "42")
CITY = Task.ask("Where is the Louvre?", "B", metadata={"choices": ["Rome", "Paris", "Oslo"]})
MANY = 200_000


def test_fences_that_never_close_hold_no_code() -> None:
    assert python_blocks("```python\n" * MANY) == []


def test_a_block_after_a_flood_of_text_is_read() -> None:
    assert python_blocks("x\n" * MANY + "```py\nprint(1)\r\n```") == ["print(1)\r\n"]


def test_a_verdict_behind_a_flood_of_space_is_none() -> None:
    assert final_field("Verdict:" + " " * MANY + "yes" + "s" * 100, ("yes", "no")) is None
    assert final_field("Verdict:" + " " * MANY + "Yes", ("yes", "no")) == "yes"


def test_heads_of_edits_made_of_colons_are_refused() -> None:
    with pytest.raises(Refused):
        parse_reply("FILE" + ":" * 100_000 + "x y\n")


@pytest.mark.parametrize("response", ["is" + " " * MANY + "42" * 150, "x" + " " * MANY + "y", "=" * MANY])
def test_floods_are_no_numbers(response: str) -> None:
    assert value_of(numeric.verify(response, SUM)) != 1.0


@pytest.mark.parametrize(
    "response", ["A) " + " " * MANY + "x" * 1500, "\n".join(map(str, range(20_000))) + "\nB"]
)
def test_floods_choose_nothing(response: str) -> None:
    assert value_of(choice.verify(response, CITY)) != 1.0


def test_a_reply_full_of_openings_writes_no_skill() -> None:
    order = Rewrite(skill=None, failures=(Case(question="3 and 4?", right="7"),))
    assert parsed("x```py\n" * 20_000, starters(), order)[0] is None


def test_long_texts_are_compared_by_their_first_words_and_all_their_numbers() -> None:
    flood = "a " * 100_000
    assert clusters([flood, flood + "b", flood + "7"]) == [0, 0, 2]
