"""Opening a task set by its spec.

- `chain?level=3`: a family of this package, with its dials.
- `./my_family.py?level=2`: a family in a file of the user's: `generate(rng, *, level=2) -> Problem`.
- `rg:countdown?max_value=20`: a family of the package reasoning-gym.
- `./data.jsonl`, `./data.csv`: the user's own questions and answers.

A task set is a function of its spec and its data seed (0, or the option `data_seed`), never of a run's seed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from sharpen.core import plugins
from sharpen.core.errors import BadInput
from sharpen.core.seeds import random_for
from sharpen.core.spec import Spec, dials
from sharpen.core.task import SINGLE_TURN, Split, Task, TaskSet
from sharpen.tasks.base import Problem
from sharpen.tasks.duplicates import normal, told
from sharpen.tasks.files import load_file

PACKAGE = "sharpen.tasks"
NUMBER = re.compile(r"[-+]?\$?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:/\d+)?%?", re.ASCII)
FILE_SUFFIXES = (".jsonl", ".csv")
OTHER_SUFFIXES = (".json", ".txt", ".tsv", ".parquet", ".xlsx", ".yaml", ".yml", ".xml")
"""Of files in which people keep data, and which are not read."""
WINDOW = 5000
"""Draws after which it is asked whether as many different problems as are wanted can still be found."""
COMMON = {"data_seed": int}
COMMON_GYM = {"data_seed": int, "partial_credit": bool}


class Sizes(NamedTuple):
    """Tasks wanted in each split."""

    train: int
    val: int
    test: int

    @property
    def total(self) -> int:
        """Tasks wanted in all."""
        return sum(self)


def family_names() -> dict[str, str]:
    """Every task family of this package with its one-line summary; imports none."""
    return plugins.names(PACKAGE, defines="generate")


def load_tasks(
    spec: str,
    *,
    seed: int = 0,
    train: int = 256,
    val: int = 100,
    test: int = 200,
    question_field: str | None = None,
    answer_field: str | None = None,
    verifier: str | None = None,
) -> TaskSet:
    """Open a task set. Sizes are exact for generated sets and upper limits for files.

    `seed` is the data seed where the spec has no option `data_seed`. `verifier` replaces the default one.
    BadInput says what is wrong with the spec, its options or the file.
    """
    parsed, sizes = Spec.parse(spec, kind="task"), Sizes(train, val, test)
    for name, size in sizes._asdict().items():
        if size < 1:
            raise BadInput(name, size, "every split needs a task", remedy="give 1 or more")
    if parsed.name.lower().endswith(FILE_SUFFIXES):
        return _from_file(parsed, sizes, seed, question_field, answer_field, verifier)
    for option, field in (("question_field", question_field), ("answer_field", answer_field)):
        if field is not None:
            raise BadInput(option, field, "only files have fields", remedy="leave it out")
    if parsed.name.startswith("rg:"):
        return _from_gym(parsed, sizes, seed, verifier)
    return _from_family(parsed, sizes, seed, verifier)


def actor_of(spec: str) -> str:
    """The actor that tries the tasks of a spec; no task is made. BadInput if there is no such family."""
    name = Spec.parse(spec, kind="task").name
    if name.lower().endswith(FILE_SUFFIXES) or name.startswith("rg:"):
        return SINGLE_TURN
    module = _family_module(name)
    return str(getattr(module, "ACTOR", SINGLE_TURN))


def _family_module(name: str) -> ModuleType:
    """The module of a family; a file of another kind is not taken for a family that is missing."""
    path = Path(name)
    kept = path.suffix.lower() in OTHER_SUFFIXES or (path.suffix and path.is_file())
    if kept and ".py" not in name:
        raise BadInput(
            "task",
            name,
            "is no kind of file that tasks are read from",
            remedy="give a .jsonl file (one JSON object a line), a .csv file, or a .py file with `generate`",
        )
    return plugins.load(PACKAGE, name, kind="task family", defines="generate")


def _common(spec: Spec, kinds: Mapping[str, Any]) -> tuple[dict[str, Any], Spec]:
    """The options that every source of a kind takes, and the spec without them."""
    taken = Spec(spec.name, {key: text for key, text in spec.options.items() if key in kinds})
    return taken.bind(kinds, kind="task"), spec.without(*kinds)


def _from_family(spec: Spec, sizes: Sizes, seed: int, verifier: str | None) -> TaskSet:
    common, rest = _common(spec, COMMON)
    module: Any = _family_module(rest.name)
    generate: Callable[..., Problem | Task] | None = getattr(module, "generate", None)
    if generate is None:
        raise BadInput(
            "task family", rest.name, "has no function `generate`", remedy="see sharpen.tasks.base"
        )
    options = rest.bind(dials(generate), kind="task")
    family = Path(rest.name).stem.replace("-", "_")
    stream = (family, sorted(options.items()), common.get("data_seed", seed))

    most = 50 * sizes.total + 1000

    def draws() -> Iterator[Task]:
        if hasattr(module, "draw"):
            yield from islice(module.draw(stream[2], **options), most)
            return
        for place in range(most):
            with plugins.mendable("task family", Path(rest.name)):
                problem = generate(random_for("tasks", *stream, place), **options)
            match problem:
                case Problem():
                    yield problem.as_task(family)
                case Task():
                    yield problem.model_copy(update={"family": family})
                case _:
                    made = type(problem).__name__
                    raise BadInput(
                        "task family", rest.name, f"made a {made}", remedy="return a Problem or Task"
                    )

    tasks = _distinct(spec, draws(), sizes, most)
    verifier = verifier or getattr(module, "VERIFIER", None)
    return _task_set(str(spec), tasks, sizes, verifier, getattr(module, "ACTOR", SINGLE_TURN))


def _from_gym(spec: Spec, sizes: Sizes, seed: int, verifier: str | None) -> TaskSet:
    from sharpen.tasks.reasoning_gym import OWN_VERIFIER, admit, draw

    common, rest = _common(spec, COMMON_GYM)
    family = Spec(rest.name.removeprefix("rg:"), rest.options)
    common.setdefault("data_seed", seed)
    most = 5 * sizes.total + 100
    tasks = _distinct(spec, draw(family, most=most, **common), sizes, most)
    admit(family.name, tasks)
    own = OWN_VERIFIER.get(family.name)
    return _task_set(str(spec), tasks, sizes, verifier or (own.verifier if own else "reasoning_gym"))


def _distinct(spec: Spec, draws: Iterable[Task], sizes: Sizes, most: int) -> list[Task]:
    """As many tasks with different questions as are wanted; BadInput if there are too few in `most` draws."""
    found: dict[str, Task] = {}
    before = 0
    for number, task in enumerate(draws, 1):
        found.setdefault(normal(told(task)), task)
        if len(found) == sizes.total:
            return list(found.values())
        if number % WINDOW == 0:
            if _hopeless(sizes.total - len(found), len(found) - before, most - number):
                break
            before = len(found)
    raise BadInput(
        "task",
        str(spec),
        f"has only {len(found)} different problems, and {sizes.total} are wanted",
        remedy="ask for fewer (--train, --val, --test), or turn its dials up",
    )


def _hopeless(missing: int, new: int, left: int) -> bool:
    """Whether so many draws would not do, where the last window brought so many new problems.

    New ones only become rarer, so even twice their rate, and a few, is more than will be found.
    """
    return left * 2 * (new + 5) / WINDOW < missing


def _task_set(
    name: str, tasks: Sequence[Task], sizes: Sizes, verifier: str | None, actor: str = SINGLE_TURN
) -> TaskSet:
    """Held-out splits are filled first, so they stay the same when more training tasks are asked for."""
    held_out = sizes.test + sizes.val
    return TaskSet(
        name,
        train=tasks[held_out:],
        val=tasks[sizes.test : held_out],
        test=tasks[: sizes.test],
        verifier=verifier or default_verifier(tasks),
        actor=actor,
    )


def _from_file(
    spec: Spec,
    sizes: Sizes,
    seed: int,
    question_field: str | None,
    answer_field: str | None,
    verifier: str | None,
) -> TaskSet:
    options = spec.bind(COMMON, kind="task")
    loaded = load_file(
        Path(spec.name),
        seed=options.get("data_seed", seed),
        question_field=question_field,
        answer_field=answer_field,
    )
    parts = {name: loaded.tasks[name][: getattr(sizes, name.value)] for name in Split}
    everything = [task for part in parts.values() for task in part]
    return TaskSet(
        str(spec),
        train=parts[Split.TRAIN],
        val=parts[Split.VAL],
        test=parts[Split.TEST],
        verifier=verifier or default_verifier(everything),
        notes=loaded.notes,
    )


def default_verifier(tasks: Sequence[Task]) -> str:
    """`choice` where all tasks have choices, `numeric` where all answers are numbers, else `exact`."""
    if all("choices" in task.metadata for task in tasks):
        return "choice"
    return "numeric" if all(NUMBER.fullmatch(task.answer) for task in tasks) else "exact"
