"""The search world: real documents, a search that finds them, and the same tools as everywhere."""

from __future__ import annotations

import copy
import random

import pytest

from sharpen.core.errors import BadInput
from sharpen.environments.base import start
from sharpen.environments.corpora import CORPORA, corpus_of, documents
from sharpen.environments.tools import NOTHING
from sharpen.stores.memory import Index, Item, Memory
from sharpen.tasks.source import load_tasks

pytest.importorskip("bm25s")


@pytest.mark.parametrize("corpus", CORPORA)
def test_the_own_player_finds_most_entries_and_not_all(corpus: str) -> None:
    tasks = load_tasks(f"manual?corpus={corpus}", train=40, val=1, test=1).train
    won = 0.0
    for task in tasks:
        world = start(task, random.Random(0))
        while (view := world.view()) is not None:
            world.move(world.scripted(view.role))
        won += world.outcome().value
    assert 0.4 < won / len(tasks) < 1


def test_searching_is_deterministic_and_harmless() -> None:
    corpus = corpus_of("python")
    assert corpus.search("assignment target list") == corpus.search("assignment target list")
    assert corpus.search("") == []
    assert corpus.search("qqqqzzzz") == []
    assert all(hit.id in documents("python") for hit in corpus.search("yield expression generator"))
    with pytest.raises(BadInput, match="corpus"):
        documents("wikipedia")


def test_the_memory_is_the_same_tool_here() -> None:
    task = load_tasks("manual", train=1, val=1, test=1).train[0]
    world = start(task, random.Random(0))
    world.equip(Index.of(Memory(items=(Item(text="python take the first hit"),))))  # type: ignore[attr-defined]
    branch = copy.deepcopy(world)
    world.move("<mem> python")
    view = world.view()
    assert view is not None
    assert view.text == "+50 python take the first hit"
    branch.move("<know> zzzzqqqq")
    shown = branch.view()
    assert shown is not None
    assert shown.text == NOTHING
    branch.move(f"<ans> {task.answer.upper()}")
    assert branch.outcome().value == 1.0
