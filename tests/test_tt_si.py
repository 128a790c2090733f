"""Which inputs are adapted to, and which of them together."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from sharpen.core.task import Task
from sharpen.recipes.tt_si import Config, Inputs, adapted_to, by_family

MARGINS = st.lists(st.floats(0, 1), min_size=1, max_size=30)


@given(MARGINS, st.floats(0.01, 1))
def test_sure_and_unsure_inputs_are_all(margins: list[float], tau: float) -> None:
    tasks = [Task.ask(f"{number}+1=?", "") for number in range(len(margins))]
    known = {task.key: margin for task, margin in zip(tasks, margins, strict=True)}
    picked = {
        inputs: adapted_to(tasks, known, Config(tau=tau, inputs=inputs), Random(0)) for inputs in Inputs
    }
    keys = {inputs: {task.key for task in found} for inputs, found in picked.items()}
    assert keys[Inputs.SURE] | keys[Inputs.UNSURE] == keys[Inputs.ALL] == set(known)
    assert not keys[Inputs.SURE] & keys[Inputs.UNSURE]
    assert len(keys[Inputs.RANDOM]) == len(keys[Inputs.UNSURE])
    assert all(known[key] < tau for key in keys[Inputs.UNSURE])


@given(st.lists(st.sampled_from("abc"), max_size=20), st.integers(1, 8))
def test_inputs_that_share_an_adapter_are_of_one_family(families: list[str], share: int) -> None:
    tasks = [Task.ask(f"{number}", "", family=family) for number, family in enumerate(families)]
    groups = by_family(tasks, share)
    assert all(len({task.family for task in group}) == 1 and len(group) <= share for group in groups)
    assert sorted(task.key for group in groups for task in group) == sorted(task.key for task in tasks)
