"""What is served: a finished run's policy with all that it is made of, or a model as it is."""

from __future__ import annotations

import inspect
import tempfile
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sharpen.actors.base import Cast, Stage
from sharpen.core.artifact import ArtifactStore
from sharpen.core.attempt import Attempt
from sharpen.core.engine import Extracting, Procedure
from sharpen.core.errors import BadInput, Mismatch
from sharpen.core.policy import Policy, PromptForm, Style
from sharpen.core.recipe import load_recipe
from sharpen.core.task import SINGLE_TURN, Task
from sharpen.core.updater import Stopwatch
from sharpen.core.verdict import Error, Verdict
from sharpen.executors.pool import JudgePool
from sharpen.experiment.assemble import POLICY_MODEL
from sharpen.experiment.manifest import Manifest, read_manifest
from sharpen.experiment.result import Result
from sharpen.experiment.show import read_result
from sharpen.models.base import Encoder, Model
from sharpen.models.form import default_form
from sharpen.models.source import open_model, priced
from sharpen.verifiers.source import open_verifier

_MODEL_TOKENS = 256
"""Longest response of a model that no run has set one for."""


class Choice(typing.NamedTuple):
    """What the user may say about how a model is served; none means: as it was improved."""

    style: Style | None = None
    instruction: str | None = None
    max_tokens: int | None = None
    threads: int | None = None
    dtype: str | None = None


@dataclass(frozen=True)
class Served:
    """An opened policy with everything it needs to answer."""

    name: str
    policy: Policy
    model: Model
    cast: Cast
    scratch: Path
    """Where workflows keep their journals while they answer."""
    max_tokens: int
    temperature: float
    """Where a request names none: that at which the run was tested."""
    verifier: Unlabelled
    recipe: str = ""
    workflow: Procedure | None = None
    opening: Callable[[str], Model] = open_model

    @property
    def store(self) -> ArtifactStore:
        """The run's files, and what answering makes."""
        return self.cast.stage.store

    @property
    def models(self) -> dict[str, Any]:
        """Models by the names that policies use."""
        return dict(self.cast.stage.models)

    @property
    def takes_text(self) -> bool:
        """Whether plain text can be continued, not only questions answered."""
        plain = self.workflow is None and self.policy.actor == SINGLE_TURN
        return plain and isinstance(self.model, Encoder)


@dataclass(frozen=True)
class Unlabelled:
    """A run's verifier where there are no references: it finds answers, for votes, and judges nothing."""

    finder: Extracting | None
    fingerprint: str = "unlabelled"

    def judge(self, pairs: Sequence[tuple[Task, Attempt]], read: Callable[[str], bytes]) -> list[Verdict]:
        """Always unknown, which is what a way of answering sees that measures itself by the right answer."""
        return [
            Error(kind="no reference", detail="nobody knows what is right when a policy is served")
        ] * len(pairs)

    def extract_many(self, responses: Sequence[str]) -> list[str | None]:
        """The canonical answer of every response; none where the run's verifier finds none."""
        return self.finder.extract_many(responses) if self.finder else [None] * len(responses)


class Overlay(ArtifactStore):
    """A store of its own over another one that is only read."""

    def __init__(self, folder: Path, below: ArtifactStore) -> None:
        """Files that are not in the folder are looked for below."""
        super().__init__(folder)
        self._below = below

    def path(self, sha: str) -> Path:
        """Where the file with this hash lies, or would."""
        own, below = super().path(sha), self._below.path(sha)
        return below if below.is_file() and not own.is_file() else own


def open_served(target: str, choice: Choice, pool: JudgePool, scratch: Path) -> Served:
    """Open the folder of a finished run, or a model by its name.

    BadInput for what cannot be opened or served; Mismatch if the run's model is no longer what it was.
    """
    if (Path(target) / "journal.sqlite").is_file():
        return _open_run(Path(target), choice, pool, scratch)
    model = open_model(target, threads=choice.threads, dtype=choice.dtype)
    style = choice.style or default_form(target).style
    prompt = PromptForm(style=style, instruction=choice.instruction or "")
    return Served(
        name=target,
        policy=Policy(model=POLICY_MODEL, base=model.fingerprint, prompt=prompt),
        model=model,
        cast=_cast(model, ArtifactStore(scratch / "store")),
        scratch=scratch,
        max_tokens=choice.max_tokens or _MODEL_TOKENS,
        temperature=1.0,
        verifier=Unlabelled(None),
    )


def _cast(model: Model, store: ArtifactStore) -> Cast:
    return Cast(Stage({POLICY_MODEL: model}, store, Stopwatch()))


def _open_run(folder: Path, choice: Choice, pool: JudgePool, scratch: Path) -> Served:
    result, manifest = read_result(folder), read_manifest(folder)
    assert manifest is not None
    spec, identity = manifest.spec, manifest.identity
    policy = with_form(final_policy(result, manifest), choice)
    threads = choice.threads or _number(identity, "threads")
    model = open_model(priced(spec.model, spec.price), threads=threads, dtype=choice.dtype or spec.dtype)
    if model.fingerprint != policy.base:
        raise Mismatch(
            f"model {spec.model} is no longer the one that {folder} improved",
            remedy="put the old model back, or run the recipe anew",
        )
    if hasattr(model, "lora_rank"):
        model.lora_rank = _number(identity, "lora_rank")
    verifier = open_verifier(str(identity["verifier"]), pool=pool)
    return Served(
        name=folder.resolve().name,
        policy=policy,
        model=model,
        cast=_cast(model, Overlay(scratch / "store", ArtifactStore(folder / "store"))),
        scratch=scratch,
        max_tokens=choice.max_tokens or _number(identity, "max_tokens") or _MODEL_TOKENS,
        temperature=spec.test_temperature,
        verifier=Unlabelled(verifier),
        recipe=result.recipe,
        workflow=procedure_of(policy, spec.recipe),
        opening=partial(open_model, threads=threads),
    )


def _number(identity: Mapping[str, Any], name: str) -> int | None:
    value = identity[name]
    return value if isinstance(value, int) and value > 0 else None


def with_form(policy: Policy, choice: Choice) -> Policy:
    """The policy with another prompt form, where one is asked for."""
    changes = {"style": choice.style, "instruction": choice.instruction}
    asked = {name: value for name, value in changes.items() if value is not None}
    return policy.model_copy(update={"prompt": policy.prompt.model_copy(update=asked)}) if asked else policy


def final_policy(result: Result, manifest: Manifest) -> Policy:
    """The policy that a run ended with; put together again where its result does not hold it whole."""
    if result.final is not None:
        return result.final
    policy = Policy(
        model=POLICY_MODEL,
        base=str(manifest.identity["model weights"]),
        prompt=PromptForm.model_validate(manifest.identity["prompt"]),
        parts=result.parts,
    )
    if policy.version != result.policy:
        raise BadInput(
            "run",
            result.recipe,
            "its result does not say how its policy acts",
            remedy="`sharpen resume` of a copy with this version writes the result anew",
        )
    return policy


def procedure_of(policy: Policy, recipe: str) -> Procedure | None:
    """The procedure that the policy's workflow names, from the recipe's own file, bound to its settings."""
    if policy.workflow is None:
        return None
    procedure = load_recipe(recipe).loop.__globals__.get(policy.workflow.function)
    if not callable(procedure):
        raise BadInput(
            "run",
            recipe,
            f"its recipe has no procedure {policy.workflow.function} any more",
            remedy="serve it with the version of the recipe that made it",
        )
    name = list(inspect.signature(procedure).parameters)[3]
    settings = typing.get_type_hints(procedure)[name].model_validate_json(policy.workflow.settings)
    return lambda scope, bare, tasks: procedure(scope, bare, tasks, settings)


def new_scratch() -> tempfile.TemporaryDirectory[str]:
    """A folder for what answering makes; gone when the server is."""
    return tempfile.TemporaryDirectory(prefix="sharpen-serve-")
