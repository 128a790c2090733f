"""What is preferred to one's own answer, and which part of it is compared."""

from __future__ import annotations

from sharpen.core.attempt import Attempt, Author, Turn
from sharpen.core.policy import PromptForm
from sharpen.core.task import Task
from sharpen.curation.pairs import Span
from sharpen.curation.thoughts import CLOSE
from sharpen.recipes.preflexor import Config, preferred
from sharpen.stores.reading import Lesson

TOLD = [Task.ask(f"home of {name}?", "cave") for name in "abc"]


def own(task: Task, text: str) -> Attempt:
    turns = (Turn(author=Author.TEMPLATE, text="Q"), Turn(author=Author.POLICY, text=text))
    return Attempt(task=task.key, index=0, policy="p", turns=turns)


def test_pairs_prefer_the_teacher_and_in_phase_two_look_at_answers() -> None:
    tasks = TOLD[:3]
    lessons = [
        Lesson(facts={"home": "cave"}, answer="cave"),
        None,
        Lesson(facts={"home": "reef"}, answer="reef"),
    ]
    said = [
        own(tasks[0], "<think> home lake </think>\n#### lake"),
        own(tasks[1], "x"),
        own(tasks[2], "#### reef"),
    ]
    first = preferred(tasks, said, lessons, PromptForm(), Config(), False)
    assert [pair.better.turns[-1].text.strip() for pair in first.items] == [
        "<think> home cave </think>\n#### cave",
        "<think> home reef </think>\n#### reef",
    ]
    assert {pair.span for pair in first.items} == {Span.WHOLE}
    second = preferred(tasks, said, lessons, PromptForm(), Config(), True)
    assert {(pair.span, pair.marker) for pair in second.items} == {(Span.AFTER, CLOSE)}
    wrong = preferred(tasks, said, lessons, PromptForm(), Config(only_wrong=True), False)
    assert [pair.better.task for pair in wrong.items] == [tasks[0].key]


def test_an_answer_that_was_cut_off_in_its_thought_is_not_compared() -> None:
    lessons = [Lesson(facts={"home": "cave"}, answer="cave")] * 3
    said = [own(TOLD[0], "<think> home lake </think>"), own(TOLD[1], ""), own(TOLD[2], "<think> home lake")]
    first = preferred(TOLD, said, lessons, PromptForm(), Config(), False)
    assert [pair.worse.task for pair in first.items] == [TOLD[0].key, TOLD[2].key]
    second = preferred(TOLD, said, lessons, PromptForm(), Config(), True)
    assert [pair.worse.task for pair in second.items] == [TOLD[2].key]
