"""Declaring and finding recipes: a recipe is an ordinary function over a Run."""

from __future__ import annotations

import ast
import hashlib
import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from sharpen.core import plugins
from sharpen.core.errors import BadInput
from sharpen.core.policy import Policy
from sharpen.core.records import Record
from sharpen.core.run import Run
from sharpen.core.task import Channel, TaskSet

PACKAGE = "sharpen.recipes"

Loop = Callable[[Run, TaskSet, Policy, typing.Any], Policy]


@dataclass(frozen=True)
class Recipe:
    """A published method: its loop, its settings and what it declares about itself."""

    name: str
    loop: Loop
    config: type[Record]
    paper: str
    improves: str
    sees: tuple[Channel, ...]
    small: Mapping[str, object]
    """Settings for a run of seconds, by which the recipe is checked."""
    demo: Mapping[str, object]
    """Settings for a run of a minute on the tiny model, in which it must learn."""
    ablation: Mapping[str, object]
    """Settings that take away what the method learns from; the gain must vanish with it."""
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
    small: Mapping[str, object] | None = None,
    demo: Mapping[str, object] | None = None,
    ablation: Mapping[str, object] | None = None,
) -> Callable[[Loop], Recipe]:
    """Declare a function `(run, tasks, policy, config: Config) -> Policy` as a recipe."""

    def declare(loop: Loop) -> Recipe:
        config = typing.get_type_hints(loop)["config"]
        channels = sees if isinstance(sees, tuple) else (sees,)
        source = Path(inspect.getfile(loop))
        return Recipe(
            loop.__name__,
            loop,
            config,
            paper,
            improves,
            channels,
            small or {},
            demo or {},
            ablation or {},
            source,
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
