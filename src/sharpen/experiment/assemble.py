"""Open everything a run needs and check it, before any work starts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from math import ceil
from typing import Protocol, runtime_checkable

from sharpen.core.budget import Timing, Usage
from sharpen.core.engine import Priced
from sharpen.core.errors import BadInput
from sharpen.core.policy import Policy, PromptForm, Shot, Style
from sharpen.core.recipe import Recipe, load_recipe
from sharpen.core.records import Record
from sharpen.core.task import SINGLE_TURN, Task, TaskSet
from sharpen.executors.pool import JudgePool
from sharpen.experiment.manifest import Manifest, code_fingerprint, versions
from sharpen.experiment.spec import Request, RunSpec
from sharpen.models.base import Capability, Model
from sharpen.models.form import default_form
from sharpen.models.source import open_model, priced
from sharpen.monitors.leaks import split_notes
from sharpen.tasks.source import actor_of, load_tasks
from sharpen.verifiers.check import prove_on
from sharpen.verifiers.source import OpenVerifier, open_verifier

POLICY_MODEL = "policy"
_MAX_TOKENS = 128
_CHUNK_ROWS_SMALL, _CHUNK_ROWS_LARGE = 256, 64
_LARGE_MODEL = 50_000_000
_LORA_RANK = 16


@runtime_checkable
class Encoder(Protocol):
    """The part of a local model that counts tokens."""

    def encode(self, text: str) -> tuple[int, ...]:
        """Token ids of a text."""


@runtime_checkable
class Adaptable(Protocol):
    """A model whose weights can be changed through adapters."""

    lora_rank: int | None


@runtime_checkable
class Spreading(Protocol):
    """A model whose weights learners can spread over several processes."""

    def spread(self, processes: int) -> None:
        """Over so many from now on; BadInput if there is no room for them."""


@dataclass(frozen=True)
class Opened:
    """Tasks, verifier, model and start policy, opened and checked against each other."""

    tasks: TaskSet
    verifier: OpenVerifier
    model: Model
    policy: Policy
    max_tokens: int
    held_back: OpenVerifier | None
    """A stricter verifier that only watches."""


@dataclass(frozen=True)
class Setup(Opened):
    """Everything of a run, opened and checked."""

    spec: RunSpec
    recipe: Recipe
    config: Record
    chunk_rows: int
    lora_rank: int
    """0 where the weights themselves are trained."""
    threads: int | None
    dtype: str | None

    def manifest(self, parent: str | None = None) -> Manifest:
        """The identity of a run with this set-up."""
        spec = self.spec
        return Manifest(
            spec=spec,
            parent=parent,
            identity={
                "recipe": self.recipe.name,
                "recipe code": self.recipe.fingerprint,
                "config": self.config.model_dump(mode="json"),
                "model": spec.model,
                "model weights": self.model.fingerprint,
                "task": spec.task,
                "task set": self.tasks.fingerprint,
                "verifier": self.verifier.name,
                "verifier code": self.verifier.fingerprint,
                "held-back verifier": self.held_back.fingerprint if self.held_back else None,
                "prompt": self.policy.prompt.model_dump(mode="json"),
                "max_tokens": self.max_tokens,
                "chunk_rows": self.chunk_rows,
                "lora_rank": self.lora_rank,
                "seed": spec.seed,
                "test_temperature": spec.test_temperature,
                "gate": spec.gate,
                "control_samples": spec.control_samples,
                "threads": self.threads,
                "dtype": self.dtype,
                **({"processes": spec.processes} if spec.processes > 1 else {}),
                "sharpen code": code_fingerprint(),
                "versions": dict(versions()),
            },
        )


def check_request(spec: RunSpec) -> tuple[Recipe, Record]:
    """Check what can be checked without opening anything."""
    recipe = load_recipe(spec.recipe)
    config = recipe.configure(spec.settings)
    for channel in recipe.sees:
        if channel in spec.forbid:
            raise BadInput(
                "forbid",
                channel.value,
                f"recipe {recipe.name} looks at this channel",
                remedy="choose a recipe that does not need it (`sharpen recipes`)",
            )
    return recipe, config


def assemble(spec: RunSpec, pool: JudgePool, *, probe: bool = True) -> Setup:
    """Open everything a run needs; refuse anything that could not end well.

    Without `probe` an endpoint is not even asked whether it is there.
    """
    recipe, config = check_request(spec)
    opened = open_policy(spec, pool, probe=probe)
    _check_actor(recipe, opened.tasks)
    if isinstance(opened.model, Priced):
        spec.budget.check(Usage(), Timing(dollars=opened.model.dollars))
    _check_needs(recipe, opened.model)
    large = getattr(opened.model, "parameters", 0) > _LARGE_MODEL
    lora_rank = _adapt(opened.model, spec.lora_rank, large=large)
    _spread(opened.model, spec.processes)
    return Setup(
        **vars(opened),
        spec=spec,
        recipe=recipe,
        config=config,
        chunk_rows=spec.chunk_rows or (_CHUNK_ROWS_LARGE if large else _CHUNK_ROWS_SMALL),
        lora_rank=lora_rank,
        threads=getattr(opened.model, "threads", None),
        dtype=getattr(opened.model, "dtype", None),
    )


def actors_of(recipe: Recipe) -> tuple[str, ...]:
    """Actors of tasks that the recipe can be run on: those it names, else its home's; any, if empty."""
    home = recipe.home.request.get("task")
    return recipe.acts or ((actor_of(str(home)),) if home else ())


def _check_actor(recipe: Recipe, tasks: TaskSet) -> None:
    """BadInput for tasks that are tried in a way that the recipe does not know."""
    known = actors_of(recipe)
    if known and tasks.actor not in known:
        own = recipe.home.request.get("task")
        raise BadInput(
            "task",
            tasks.name,
            f"is for the actor {tasks.actor}, and recipe {recipe.name} knows {', '.join(known)}",
            remedy=f"take its own, {own}, or one like it" if own else "take another task (`sharpen tasks`)",
        )


def _check_needs(recipe: Recipe, model: Model) -> None:
    """BadInput for a model that cannot do what the recipe lives on."""
    able = {capability.value for capability in model.capabilities}
    if missing := [need.value for need in recipe.needs if need.value not in able]:
        raise BadInput(
            "model",
            model.name,
            f"recipe {recipe.name} needs {', '.join(missing)}, which it cannot give",
            remedy="take a local Hugging Face model, or a recipe that improves something else",
        )


def _adapt(model: Model, wanted: int | None, *, large: bool) -> int:
    """Tell a trainable model how learners may change it; return the adapter's rank, 0 for none."""
    rank = (_LORA_RANK if large else 0) if wanted is None else wanted
    if isinstance(model, Adaptable):
        model.lora_rank = rank or None
    return rank


def _spread(model: Model, processes: int) -> None:
    """Tell a trainable model over how many processes learners spread it."""
    if isinstance(model, Spreading):
        model.spread(processes)
    elif processes > 1:
        raise BadInput("processes", processes, "nothing is trained here", remedy="leave it out")


def open_policy(request: Request, pool: JudgePool, *, probe: bool = True) -> Opened:
    """Open tasks, verifier and model, and prove the verifier on the tasks before the model is loaded."""
    if not request.task:
        raise BadInput("task", "", "is missing", remedy="name one with --task (`sharpen tasks` lists them)")
    tasks = tasks_of(request)
    verifier = _proven(request.verifier or tasks.verifier, tasks, pool, "--verifier")
    held_back = _proven(request.held_back, tasks, pool, "--held-back") if request.held_back else None
    named = priced(request.model, request.price)
    model = open_model(named, threads=request.threads, dtype=request.dtype, probe=probe)
    form, tasks = form_of(request, tasks)
    _check_sight(tasks, model, form)
    tasks = tasks.noted(*tasks.held_out(partial(split_notes, tasks.train)))
    return Opened(
        tasks=tasks,
        verifier=verifier,
        model=model,
        policy=Policy(model=POLICY_MODEL, base=model.fingerprint, prompt=form, actor=tasks.actor),
        max_tokens=request.max_tokens or _max_tokens(model, tasks),
        held_back=held_back,
    )


def _proven(spec: str, tasks: TaskSet, pool: JudgePool, option: str) -> OpenVerifier:
    """The verifier that an option named, proven on the tasks."""
    verifier = open_verifier(spec, pool=pool, option=option)
    prove_on(verifier, (*tasks.train, *tasks.val)).require(option)
    return verifier


def tasks_of(spec: Request) -> TaskSet:
    """The tasks, with those that become solved examples."""
    shots = _shot_count(spec)
    return load_tasks(
        spec.task,
        seed=0,
        train=spec.train + shots,
        val=spec.val,
        test=spec.test,
        question_field=spec.question_field,
        answer_field=spec.answer_field,
        verifier=spec.verifier,
    )


def told_of(request: Request, tasks: TaskSet) -> list[tuple[str, str]]:
    """What there is to know of the tasks before any work: how many each split got, and what was left out."""
    splits = []
    for name, size in tasks.sizes.items():
        wanted = getattr(request, name)
        splits.append(f"{size} {name}" + (f" (of {wanted} wanted)" if size < wanted else ""))
    return [("tasks", ", ".join(splits)), *(("note", note) for note in tasks.notes)]


def _shot_count(spec: Request) -> int:
    return default_form(spec.model).shots if spec.shots is None else spec.shots


def form_of(spec: Request, tasks: TaskSet) -> tuple[PromptForm, TaskSet]:
    """How questions are put, and the tasks that are left once some became solved examples."""
    count = _shot_count(spec)
    if count >= len(tasks.train):
        raise BadInput(
            "shots", count, f"there are only {len(tasks.train)} training tasks", remedy="ask for fewer shots"
        )
    form = PromptForm(
        style=spec.style or default_form(spec.model).style,
        instruction=spec.instruction,
        shots=tuple(_shot(task) for task in tasks.train[:count]),
    )
    return form, tasks.without_first_train(count)


def _check_sight(tasks: TaskSet, model: Model, form: PromptForm) -> None:
    """BadInput for tasks with pictures before a policy that is not shown any."""
    held_out = tasks.held_out(lambda val, test: any(task.pictures for task in (*val, *test)))
    if not held_out and not any(task.pictures for task in tasks.train):
        return
    if Capability.IMAGES not in model.capabilities:
        raise BadInput(
            "model",
            model.name,
            "cannot see, and there are pictures in the tasks",
            remedy="take an endpoint whose model sees: openai:NAME@URL?images=true",
        )
    if form.style is not Style.CHAT or tasks.actor != SINGLE_TURN:
        raise BadInput(
            "style", form.style.value, "shows no pictures, and there are some in the tasks", remedy="use chat"
        )


def _shot(task: Task) -> Shot:
    if task.pictures:
        raise BadInput(
            "shots", task.question[:60], "has a picture, which examples cannot show", remedy="use --shots 0"
        )
    return Shot(question=task.question, response=task.solution or task.answer)


def _max_tokens(model: Model, tasks: TaskSet) -> int:
    """A quarter more than the longest worked solution, where there are any."""
    solutions = [task.solution for task in tasks.train if task.solution]
    if not solutions or not isinstance(model, Encoder):
        return _MAX_TOKENS
    return ceil(1.25 * max(len(model.encode(solution)) for solution in solutions)) + 4
