"""A mixture of families in equal shares: families of this package, and of reasoning-gym as `rg:NAME`.

`each` limits how many tasks of a family there are in all splits together: with 1, no family of a test task
was ever trained on, which is the control for methods that live on shared structure. Answers are compared as
they stand (numbers as numbers where all are), so take families whose answers have one spelling.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import cycle, islice
from typing import Any

from sharpen.core import plugins
from sharpen.core.errors import BadInput
from sharpen.core.seeds import random_for
from sharpen.core.spec import Spec, dials
from sharpen.core.task import Task
from sharpen.tasks.base import Problem

PACKAGE = "sharpen.tasks"
GYM = "rg:"
FAMILIES = ["chain", "product", "remainder", "counting"]
MOST = 100_000


def generate(rng: random.Random, *, families: list[str] = FAMILIES, each: int = 0) -> Problem | Task:
    """Draw a task of a family picked by chance; `draw` makes the equal shares of a task set."""
    return next(_family(rng.choice(families), rng.getrandbits(32)))


def draw(data_seed: int, *, families: list[str] = FAMILIES, each: int = 0) -> Iterator[Task]:
    """Tasks of the families in turn, at most `each` of a family (0: no limit), in an order of the seed."""
    if not families or len(set(families)) != len(families) or each < 0:
        raise BadInput("families", families, "are none, or one twice", remedy="name different families")
    order = random_for("mixed", data_seed).sample(families, len(families))
    streams = [islice(_family(spec, data_seed), each or MOST) for spec in order]
    return _in_turn(streams)


def _in_turn(streams: Sequence[Iterator[Task]]) -> Iterator[Task]:
    """One of each stream by turns, until one of them ends."""
    for stream in cycle(streams):
        task = next(stream, None)
        if task is None:
            return
        yield task


def _family(text: str, seed: int) -> Iterator[Task]:
    """Tasks of one family without end, with nothing in them but question and answer."""
    spec = Spec.parse(text, kind="family")
    if spec.name.startswith(GYM):
        made = _gym(Spec(spec.name.removeprefix(GYM), spec.options), seed)
    else:
        made = _own(spec, seed)
    return (Task.ask(task.question, task.answer, family=text) for task in made)


def _gym(spec: Spec, seed: int) -> Iterator[Task]:
    from sharpen.tasks.reasoning_gym import draw as draw_gym

    return draw_gym(spec, data_seed=seed, most=MOST)


def _own(spec: Spec, seed: int) -> Iterator[Task]:
    make = maker(str(spec))
    return (make(random_for("tasks", str(spec), seed, place)) for place in range(MOST))


@lru_cache(maxsize=64)
def maker(text: str) -> Callable[[random.Random], Task]:
    """What draws a task, worked solution included, of a family of this package, dials and all.

    BadInput for a family or dial that there is not.
    """
    spec = Spec.parse(text, kind="family")
    module: Any = plugins.load(PACKAGE, spec.name, kind="task family", defines="generate")
    options = spec.bind(dials(module.generate), kind="task")

    def make(rng: random.Random) -> Task:
        made = module.generate(rng, **options)
        return made.as_task(spec.name) if isinstance(made, Problem) else made

    return make
