"""Run the cases that prove a verifier, a task source or a recipe."""

from __future__ import annotations

from functools import partial

from sharpen.core.check import Checkable, CheckReport
from sharpen.core.errors import BadInput
from sharpen.executors.pool import JudgePool
from sharpen.experiment.check_recipe import check_recipe
from sharpen.tasks.check import check_task
from sharpen.verifiers.check import check_verifier, prove_on
from sharpen.verifiers.source import open_verifier


def check(
    kind: Checkable, name: str, *, question_field: str | None = None, answer_field: str | None = None
) -> CheckReport:
    """Run the cases of a verifier, task or recipe by name; the fields are those of a task file."""
    fields = {"question_field": question_field, "answer_field": answer_field}
    for option, field in fields.items():
        if kind is not Checkable.TASK and field is not None:
            raise BadInput(option, field, "only task files have fields", remedy="leave it out")
    if kind is Checkable.RECIPE:
        return check_recipe(name)
    with JudgePool() as pool:
        if kind is Checkable.VERIFIER:
            return check_verifier(name, pool=pool)
        return check_task(name, open_verifier=partial(open_verifier, pool=pool), prove=prove_on, **fields)
