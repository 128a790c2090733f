"""Task families of the package reasoning-gym: `rg:FAMILY?field=value`, with the family's own grader.

A family is admitted only if its grader accepts the reference answers of a sample and nothing that is wrong.
Answers are stripped and must score at least 0.99; `partial_credit=true` keeps the grader's own number.
"""

from __future__ import annotations

import dataclasses
import io
import json
import typing
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, redirect_stdout
from functools import lru_cache
from typing import Any, NamedTuple

from pydantic import JsonValue

from sharpen.core.errors import BadInput, Unavailable
from sharpen.core.records import digest
from sharpen.core.seeds import seed_for
from sharpen.core.spec import Spec
from sharpen.core.task import Task

ACCEPTED = 0.99
SAMPLE = 20
EXECUTES = "its grader executes code found in answers; it waits for the sandbox"
UNSTABLE = "under one seed it gives other tasks in another process"
REFUSED: Mapping[str, str] = {
    **dict.fromkeys(
        (
            "binary_matrix",
            "intermediate_integration",
            "n_queens",
            "polynomial_multiplication",
            "puzzle24",
            "simple_integration",
            "spiral_matrix",
            "string_insertion",
        ),
        EXECUTES,
    ),
    "game_of_life_halting": "its grader takes any text for a yes",
    **dict.fromkeys(
        ("codeio", "isomorphic_strings", "knight_swap", "list_functions", "ransom_note", "word_ladder"),
        UNSTABLE,
    ),
    "composite": "it mixes families; name one of them",
    "boxnet": "it has no reference answers",
    "rush_hour": "it has no reference answers",
}


class Own(NamedTuple):
    """A verifier of ours for a family, and the fields of its metadata that the verifier needs."""

    verifier: str
    needs: tuple[str, ...] = ()


OWN_VERIFIER: Mapping[str, Own] = {
    "countdown": Own("countdown", ("numbers", "target")),
    "gsm_symbolic": Own("numeric"),
}
"""Families with a verifier of ours: their own graders execute answers, or read a number anywhere."""
GOLD_FIELDS = ("possible_answer", "example_correct_answer", "example_answer")
"""Where families without an `answer` keep an example of one."""


def draw(spec: Spec, *, data_seed: int, most: int, partial_credit: bool = False) -> Iterator[Task]:
    """At most `most` tasks of a family, in an order fixed by the seed; duplicates are left in.

    BadInput for a family or option that there is not, or that is not admitted.
    """
    registry = _registry()
    if spec.name not in registry:
        known = ", ".join(sorted(set(registry) - set(REFUSED)))
        raise BadInput(
            "reasoning-gym family", spec.name, "there is no such family", remedy=f"one of: {known}"
        )
    if spec.name in REFUSED:
        raise BadInput("reasoning-gym family", spec.name, REFUSED[spec.name], remedy="choose another family")
    options = spec.bind(_fields(registry[spec.name][1]), kind="family")
    seed = seed_for("reasoning_gym", spec.name, data_seed) % 2**31
    dataset = _create(spec.name, {**options, "seed": seed, "size": most})
    for place in range(most):
        task = _task(spec.name, options, dataset, place, partial_credit)
        if task is not None:
            yield task


def _registry() -> dict[str, tuple[Any, Any]]:
    try:
        import reasoning_gym
    except ImportError:
        raise Unavailable(
            "the package reasoning-gym is not installed", remedy="pip install 'sharpen[reasoning-gym]'"
        ) from None
    registry: dict[str, tuple[Any, Any]] = reasoning_gym.factory.DATASETS
    return registry


def _fields(config: Any) -> dict[str, Any]:
    hints = typing.get_type_hints(config)
    return {f.name: hints[f.name] for f in dataclasses.fields(config) if f.name not in ("seed", "size")}


def _create(family: str, options: Mapping[str, Any]) -> Any:
    import reasoning_gym

    try:
        return reasoning_gym.create_dataset(family, **options)
    except (AssertionError, TypeError, ValueError) as error:
        given = {key: value for key, value in options.items() if key not in ("seed", "size")}
        raise BadInput(f"rg:{family}", given, str(error), remedy="change these options") from None


def _task(
    family: str, options: Mapping[str, Any], dataset: Any, place: int, partial_credit: bool
) -> Task | None:
    """One task, as plain data; None where the family fails to make one."""
    try:
        with _quiet():
            entry = dataset[place]
    except ValueError:
        return None
    if family in OWN_VERIFIER:
        metadata = {key: entry["metadata"][key] for key in OWN_VERIFIER[family].needs}
    else:
        metadata = {
            "family": family,
            "options": options,
            "entry": entry,
            "partial_credit": partial_credit,
        }
    question, answer = entry["question"].strip(), _gold(family, entry)
    return Task.ask(question, answer, family=f"rg:{family}", metadata=_plain(family, metadata))


def _plain(family: str, value: Mapping[str, Any]) -> dict[str, JsonValue]:
    """A copy as it comes back from JSON, so that graders meet in a run what they met at admission."""
    try:
        copy: dict[str, JsonValue] = json.loads(json.dumps(value))
    except (TypeError, ValueError) as error:
        raise BadInput("reasoning-gym family", family, str(error), remedy="choose another family") from None
    return copy


def _gold(family: str, entry: Mapping[str, Any]) -> str:
    facts = entry.get("metadata", {})
    found = next((facts[name] for name in GOLD_FIELDS if facts.get(name)), None)
    answer = entry["answer"] if entry["answer"] is not None else found
    if answer is None:
        raise BadInput("reasoning-gym family", family, "it has no reference answers", remedy="choose another")
    return answer if isinstance(answer, str) else json.dumps(answer)


def grade(answer: str, metadata: Mapping[str, JsonValue]) -> float:
    """The family's own score of a stripped answer, from 0 to 1; 0 for text that its parser chokes on."""
    dataset = _grader(str(metadata["family"]), json.dumps(metadata["options"], sort_keys=True))
    try:
        with _quiet():
            return float(dataset.score_answer(answer.strip(), metadata["entry"]))
    except (
        ArithmeticError,
        AssertionError,
        AttributeError,
        LookupError,
        RecursionError,
        TypeError,
        ValueError,
    ):
        return 0.0


def _quiet() -> AbstractContextManager[object]:
    """Families and graders print; the caller's standard output is not theirs."""
    return redirect_stdout(io.StringIO())


@lru_cache(maxsize=16)
def _grader(family: str, options: str) -> Any:
    return _create(family, {**json.loads(options), "seed": 0, "size": 1})


def admit(family: str, tasks: list[Task]) -> None:
    """Raise BadInput unless the family's grader tells right from wrong on these tasks."""
    if family in OWN_VERIFIER:
        return
    sample = tasks[:SAMPLE]
    for place, task in enumerate(sample):
        other = sample[place - 1]
        if grade(task.answer, task.metadata) < ACCEPTED:
            _refuse(family, "its grader rejects its own answer", task)
        wrong = ["", "None", "zxqv jklm wpqr", task.question]
        wrong += [other.answer] if digest(other.answer.split()) != digest(task.answer.split()) else []
        for text in wrong:
            if text != task.answer and grade(text, task.metadata) >= ACCEPTED:
                _refuse(family, f"its grader accepts {text[:40]!r}", task)


def _refuse(family: str, problem: str, task: Task) -> typing.NoReturn:
    question = " ".join(task.question.split())[:60]
    raise BadInput(
        f"rg:{family}",
        task.answer[:40],
        f"{problem}, for {question!r}",
        remedy="choose another family or other options",
    )
