"""Declaring and finding recipes: a recipe is an ordinary function over a Run."""

from __future__ import annotations

import ast
import hashlib
import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from pydantic import Field, JsonValue, ValidationError

from sharpen.core import plugins
from sharpen.core.errors import BadInput
from sharpen.core.policy import Policy
from sharpen.core.records import Record
from sharpen.core.run import Run
from sharpen.core.task import Channel, TaskSet

PACKAGE = "sharpen.recipes"

Loop = Callable[[Run, TaskSet, Policy, typing.Any], Policy]


class Setting(Record):
    """Where a recipe is run: what is asked for beside it, and its own settings."""

    request: Mapping[str, JsonValue] = Field(default_factory=dict)
    """Task, model and other fields of a request that differ from the defaults."""
    config: Mapping[str, JsonValue] = Field(default_factory=dict)
    """Settings of the recipe that differ from the defaults."""

    def at(self, **config: JsonValue) -> Setting:
        """The same place with other settings of the recipe on top."""
        return self.model_copy(update={"config": {**self.config, **config}})

    def on(self, **request: JsonValue) -> Setting:
        """The same settings in another place: other fields of the request on top."""
        return self.model_copy(update={"request": {**self.request, **request}})


class Need(StrEnum):
    """What a recipe needs a model to be able to do; values are those of `models.base.Capability`."""

    LOGPROBS = "logprobs"
    """Sampled tokens come with log-probabilities."""
    TRAIN = "train"
    """Its weights can be trained here."""
    PICTURES = "pictures"
    """It draws pictures."""


class Rival(Record):
    """Another recipe as a baseline, in the same place."""

    recipe: str
    """Its name."""
    config: Mapping[str, JsonValue] = Field(default_factory=dict)
    """Settings of it that differ from those of its own home."""


Baseline = Mapping[str, JsonValue] | Rival
"""A baseline: other settings of the same recipe, or another one."""


class Pick(StrEnum):
    """Which of several samples counts in the control that spends the budget on more samples."""

    MAJORITY = "majority"
    """The most frequent answer; where attempts have no answers, the mean of all samples."""
    BEST = "best"
    """The best-judged one: for methods that see the verdict when they are tested."""


@dataclass(frozen=True)
class Recipe:
    """A published method: its loop, its settings and what it declares about itself."""

    name: str
    loop: Loop
    config: type[Record]
    paper: str
    improves: str
    sees: tuple[Channel, ...]
    needs: tuple[Need, ...]
    acts: tuple[str, ...]
    """Names of the actors whose tasks it can be run on; if empty, that of its home's task."""
    home: Setting
    """Where it runs if no task is named, and where its claim is tested."""
    small: Setting
    """A run of seconds, by which the recipe is checked."""
    demo: Setting
    """A run of a minute or two, in which it must learn."""
    ablation: Mapping[str, JsonValue]
    """Settings that take away what the method learns from; the gain must vanish with it."""
    claim: str
    """What the paper says that a small run can show."""
    arms: Mapping[str, Baseline]
    """Baselines at the same budget by name. The first is what the method must beat."""
    pick: Pick
    source: Path

    @property
    def fingerprint(self) -> str:
        """Hash of the recipe's source file."""
        return hashlib.sha256(self.source.read_bytes()).hexdigest()[:16]

    def configure(self, settings: Mapping[str, object]) -> Record:
        """Validate settings; BadInput names the field, the value and what is allowed."""
        try:
            return self.config(**settings)
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(part) for part in first["loc"]) or "config"
            known = ", ".join(self.config.model_fields)
            raise BadInput(
                f"{self.name}.{field}", first["input"], first["msg"], remedy=f"settings: {known}"
            ) from None


def recipe(
    *,
    paper: str,
    improves: str,
    sees: Channel | tuple[Channel, ...],
    needs: tuple[Need, ...] = (),
    acts: tuple[str, ...] = (),
    home: Setting | None = None,
    small: Setting | None = None,
    demo: Setting | None = None,
    ablation: Mapping[str, JsonValue] | None = None,
    claim: str = "",
    arms: Mapping[str, Baseline] | None = None,
    pick: Pick = Pick.MAJORITY,
) -> Callable[[Loop], Recipe]:
    """Declare a function `(run, tasks, policy, config: Config) -> Policy` as a recipe."""

    def declare(loop: Loop) -> Recipe:
        config = typing.get_type_hints(loop)["config"]
        channels = sees if isinstance(sees, tuple) else (sees,)
        source = Path(inspect.getfile(loop))
        return Recipe(
            name=loop.__name__,
            loop=loop,
            config=config,
            paper=paper,
            improves=improves,
            sees=channels,
            needs=needs,
            acts=acts,
            home=home or Setting(),
            small=small or Setting(),
            demo=demo or home or Setting(),
            ablation=ablation or {},
            claim=claim,
            arms=arms or {},
            pick=pick,
            source=source,
        )

    return declare


def load_recipe(name: str) -> Recipe:
    """Find a recipe by name, or in the user's own file."""
    module = plugins.load(PACKAGE, name, kind="recipe")
    found = [value for value in vars(module).values() if isinstance(value, Recipe)]
    if len(found) != 1:
        raise BadInput(
            "recipe", name, f"the file declares {len(found)} recipes", remedy="declare one with @recipe(...)"
        )
    return found[0]


def recipe_names() -> dict[str, str]:
    """Every recipe with its one-line summary; imports none."""
    return plugins.names(PACKAGE)


def header(name: str) -> str:
    """A recipe file's header text."""
    source = load_recipe(name).source
    return ast.get_docstring(ast.parse(source.read_text(encoding="utf-8"))) or ""
