"""The memory of experience: every operation is pure, bounded, and never lets a reference answer in."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from sharpen.core.artifact import ArtifactStore
from sharpen.core.attempt import Attempt, Author, Turn
from sharpen.core.errors import Damaged
from sharpen.core.policy import Policy
from sharpen.core.records import decode
from sharpen.core.task import Task
from sharpen.environments.base import start
from sharpen.environments.rules import RULES
from sharpen.environments.tools import REMINDER, Action, Tag, parse, written
from sharpen.stores.distil import Tried, by_template, log_of, raw, says_yes, summary_question
from sharpen.stores.embedding import Ngrams
from sharpen.stores.memory import (
    Draft,
    Index,
    Item,
    Leaning,
    Memory,
    Refusal,
    Use,
    absorb,
    credit,
    first_of_each,
    insert,
    leaks,
    loaded,
    markdown,
    near,
    permuted,
    poisoned,
    prune,
    stored,
)
from sharpen.tasks.source import load_tasks

TEXTS = st.text(alphabet="abc 12kg.-", min_size=1, max_size=30)
ITEMS = st.builds(Item, text=TEXTS, leaning=st.sampled_from(Leaning))
ANSWERS = st.sets(st.sampled_from(["12kg", "1 a", "b", "2"]), max_size=3)
few = settings(max_examples=60, deadline=None)


def memory_of(*texts: str) -> Memory:
    return insert(Memory(), [Item(text=text) for text in texts], answers=()).memory


@few
@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=20))
def test_score_follows_laplace_and_stays_inside_zero_and_one(uses: list[tuple[bool, bool]]) -> None:
    memory = memory_of("one rule", "another rule")
    name = memory.items[0].id
    made = [
        Use(attempt=f"a{i}", items=(name,) * (1 + twice), succeeded=ok) for i, (ok, twice) in enumerate(uses)
    ]
    item = credit(memory, made).by_id[name]
    assert (item.used, item.succeeded) == (len(uses), sum(ok for ok, _ in uses))
    assert item.score == (item.succeeded + 1) / (item.used + 2)
    assert 0 < item.score < 1
    assert len(item.successes) <= 3
    assert len(item.failures) <= 2
    assert credit(memory, made).items[1] == memory.items[1]


@few
@given(st.lists(ITEMS, max_size=12), st.floats(0, 1))
def test_pruning_leaves_exactly_what_scores_enough(items: list[Item], threshold: float) -> None:
    memory = insert(Memory(), items, answers=()).memory
    used = credit(
        memory, [Use(attempt="a", items=tuple(i.id for i in memory.items[::2]), succeeded=False)] * 2
    )
    kept = prune(used, threshold)
    assert kept.items == tuple(item for item in used.items if item.score >= threshold)
    assert prune(kept, threshold) == kept


@few
@given(st.lists(ITEMS, max_size=12), ANSWERS)
def test_inserting_twice_changes_nothing_more_and_no_answer_gets_in(
    items: list[Item], answers: set[str]
) -> None:
    once = insert(Memory(), items, answers=answers)
    again = insert(once.memory, items, answers=answers)
    assert again.memory == once.memory
    assert len(once.memory) + sum(once.refused.values()) == len(items)
    assert not any(leaks(item.text, answers) for item in once.memory.items)
    absorbed = absorb(
        Memory(),
        [Draft(item=item, question="q", attempt="a", succeeded=True) for item in items],
        {},
        answers=answers,
    )
    assert {item.id for item in absorbed.memory.items} == {item.id for item in once.memory.items}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("zor sum", None),
        ("the answer is 13KG!", Refusal.LEAK),
        ("113kg and 13 kg are others", None),
        ("new\nyork, of course", Refusal.LEAK),
        ("!!!!!!!!!!!!", Refusal.EMPTY),
        ("aaaaaaaaaaaaa", Refusal.COLLAPSED),
        ("so so so so so so", Refusal.COLLAPSED),
        ("use <ans> now", Refusal.TAGS),
        ("", Refusal.EMPTY),
        ("w " * 500, Refusal.TOO_LONG),
    ],
)
def test_what_may_not_enter(text: str, reason: Refusal | None) -> None:
    done = insert(Memory(), [Item(text=text)], answers=["13kg", "New York"])
    assert dict(done.refused) == ({reason: 1} if reason else {})


@few
@given(st.lists(ITEMS, max_size=8))
def test_a_stored_memory_comes_back_and_rolling_back_is_exact(
    tmp_path_factory: pytest.TempPathFactory, items: list[Item]
) -> None:
    store = ArtifactStore(tmp_path_factory.mktemp("store"))
    memory = insert(Memory(), items, answers=()).memory
    artifact = stored(store, memory)
    policy = Policy(model="m", base="b").with_part(artifact)
    changed = credit(memory, [Use(attempt="a", items=tuple(memory.by_id), succeeded=True)])
    later = policy.with_part(stored(store, changed))
    assert (later.version == policy.version) == (not memory.items)
    assert later.with_part(stored(store, memory)).version == policy.version
    assert loaded(store, artifact) == memory


def test_a_damaged_memory_is_refused(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    artifact = stored(store, memory_of("zor sum"))
    store.path(artifact.files["memory.json"]).write_bytes(b"{}")
    with pytest.raises(Damaged):
        loaded(store, artifact)


@pytest.mark.parametrize("field", ["used", "succeeded"])
def test_counts_beyond_all_measure_are_refused(field: str) -> None:
    with pytest.raises(ValidationError, match=field):
        Item.model_validate({"text": "x", field: 10**400})


@few
@given(st.lists(TEXTS, min_size=1, max_size=8), TEXTS)
def test_retrieval_is_ordered_by_similarity_then_id(texts: list[str], query: str) -> None:
    memory = memory_of(*texts)
    found = Index.of(memory).nearest(query, 20)
    assert len(found) == len(memory)
    ranks = [(-similarity, item.id) for item, similarity in found]
    assert ranks == sorted(ranks)
    backwards = memory.model_copy(update={"items": memory.items[::-1]})
    assert Index.of(backwards).nearest(query, 20) == found
    assert len(Index.of(memory).search(query)) == min(3, len(memory))


@few
@given(st.lists(TEXTS, min_size=1, max_size=5))
def test_vectors_have_length_one_or_zero_and_equal_texts_are_nearest(texts: list[str]) -> None:
    vectors = Ngrams().embed(texts)
    lengths = np.linalg.norm(vectors, axis=1)
    assert all(abs(length - 1) < 1e-5 or length == 0 for length in lengths)
    assert (Ngrams().embed([texts[0].upper() + " "])[0] == vectors[0]).all()


def test_permuting_keeps_cues_ids_and_scores_and_moves_every_text() -> None:
    memory = credit(memory_of(*(f"{n} rule" for n in "abcdef")), [])
    shuffled = permuted(memory, "seed")
    assert [item.id for item in shuffled.items] == [item.id for item in memory.items]
    assert sorted(item.text for item in shuffled.items) == sorted(item.text for item in memory.items)
    assert all(one.text != other.text for one, other in zip(shuffled.items, memory.items, strict=True))
    query = "c rule"
    assert [hit.id for hit in Index.of(shuffled).search(query)] == [
        hit.id for hit in Index.of(memory).search(query)
    ]


def test_what_says_the_same_is_merged_or_counted() -> None:
    def draft(text: str, question: str = "q", *, ok: bool = True) -> Draft:
        return Draft(item=Item(text=text), question=question, attempt=text, succeeded=ok)

    drafts = [draft("a one"), draft("b two"), draft("c three"), draft("a one", "other")]
    ids = [one.item.id for one in drafts]
    kept = first_of_each(drafts, [(ids[2], ids[1]), (ids[1], ids[0])])
    assert [(one.question, one.item.text) for one in kept] == [("q", "a one"), ("other", "a one")]
    memory = memory_of("a one", "b two")
    grown = absorb(memory, [draft("c three", ok=False), draft("d four")], {ids[2]: ids[1]}, answers=())
    assert [(item.text, item.used, item.succeeded) for item in grown.memory.items] == [
        ("a one", 0, 0),
        ("b two", 1, 0),
        ("d four", 0, 0),
    ]
    assert grown.memory.items[2].successes == ("d four",)
    asked = near(memory, [draft("a one."), draft("a one")], top=3, least=0.6)
    assert [(new.text, old.text) for new, old in asked] == [("a one.", "a one")]
    crossed = poisoned(drafts, 1.0, 3)
    assert [one.item.text.split()[0] for one in crossed] == ["a", "b", "c", "a"]


def test_markdown_shows_text_as_code_that_cannot_break_out() -> None:
    page = markdown(memory_of("plain advice", "tricky `` [x](y) ` text\n# Heading"))
    assert "- 0.50 (0 of 0) ` plain advice `" in page
    assert "``` tricky `` [x](y) ` text # Heading ```" in page
    assert not any(line.startswith("# Heading") for line in page.splitlines())


TASK = load_tasks("rules?families=4", train=4, val=1, test=1).train[0]


def tried(rule: str, answer: str) -> Attempt:
    moves = (" <know> K7 M2", f" <think> {rule} <ans> {answer}")
    turns = tuple(Turn(author=Author.POLICY, text=move) for move in moves)
    return Attempt(task=TASK.key, index=0, policy="p", turns=turns, outcome={"retrieved": ["x", "y"]})


def test_items_are_written_from_moves_without_answers() -> None:
    name, right = TASK.question.split()[0], tried("sum", TASK.answer)
    assert by_template(TASK, right, True).text == f"{name} sum"
    assert by_template(TASK, right, False).text == f"{name} not sum"
    assert log_of(TASK, right) == f"{TASK.question} / know K7 M2 / think sum ans {TASK.answer}"
    assert raw(TASK, right, True, [TASK.answer]).text.endswith("think sum ans ?")
    assert not leaks(summary_question(TASK, tried("sum", "?"), True).question, [TASK.answer])
    assert Tried(TASK, right, True).use.items == ("x", "y")
    assert says_yes(" Yes, they are.")
    assert not says_yes("no")


@pytest.mark.parametrize(
    ("move", "action"),
    [
        ("<mem> zor", Action(Tag.MEMORY, "zor")),
        (" <think> a <think> b <ans> 13kg\n", Action(Tag.ANSWER, "13kg", ("a", "b"))),
        ("<ans> 1 <ans> 2", None),
        ("<ans> ", None),
        ("<run> x", None),
        ("13kg", None),
        ("", None),
        ("<ans> " + "x" * 400, None),
    ],
)
def test_moves_are_read_strictly(move: str, action: Action | None) -> None:
    assert parse(move) == action
    if action:
        assert parse(written(action)) == action


def play(task: Task, *moves: str, notes: Memory | None = None) -> tuple[list[str], dict[str, object], float]:
    world = start(task, random.Random(0))
    if notes is not None:
        world.equip(Index.of(notes))  # type: ignore[attr-defined]
    shown = []
    for move in moves:
        view = world.view()
        assert view is not None
        shown.append(view.text)
        world.move(move)
    outcome = world.outcome()
    return shown, dict(outcome.facts), outcome.value


def test_an_episode_of_the_rule_world() -> None:
    name, one, other = TASK.question.split()
    notes = memory_of(f"{name} sum")
    shown, facts, value = play(
        TASK, f"<mem> {name}", "hello", f"<know> {one} {other} Z9Z", f"<ans> {TASK.answer}", notes=notes
    )
    assert shown[1] == f"+50 {name} sum"
    assert shown[2] == REMINDER
    assert shown[3].splitlines() == [
        f"{thing}={TASK.world['facts'][thing]}"  # type: ignore[index, call-overload]
        for thing in (one, other)
    ]
    assert value == 1.0
    assert facts["retrieved"] == [notes.items[0].id]
    assert (facts["memory_calls"], facts["knowledge_calls"], facts["malformed"]) == (1, 1, 1)
    assert play(TASK, "<mem> x", "<ans> wrong")[2] == 0.0
    assert play(TASK, *["nonsense"] * 6)[1]["answered"] == 0


@few
@given(st.integers(0, 10**6), st.sampled_from(RULES))
def test_the_own_player_follows_the_best_advice_and_nothing_else(seed: int, rule: str) -> None:
    name = TASK.question.split()[0]
    good = Item(text=f"{name} {rule}", used=6, succeeded=6)
    bad = Item(text=f"{name} gap" if rule != "gap" else f"{name} sum", used=6)
    world = start(TASK, random.Random(seed))
    world.equip(Index.of(Memory(items=(bad, good))))  # type: ignore[attr-defined]
    moves = []
    while (view := world.view()) is not None:
        moves.append(world.scripted(view.role))
        world.move(moves[-1])
    assert not any(move.startswith("<mem>") for move in moves) or f"<think> {rule} " in moves[-1]
    assert world.outcome().facts["answered"] == 1


def test_counters_beyond_all_bounds_are_refused() -> None:
    with pytest.raises(ValidationError):
        decode(Memory, b'{"items":[{"text":"Look twice.","used":0,"succeeded":1' + b"0" * 400 + b"}]}")
