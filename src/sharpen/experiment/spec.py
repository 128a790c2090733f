"""What a user asks for: one frozen record that fully describes a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, JsonValue

from sharpen.core.budget import Budget
from sharpen.core.gate import GateMode
from sharpen.core.policy import Style
from sharpen.core.recipe import Setting
from sharpen.core.records import Record
from sharpen.core.task import Channel

MOST_TASKS = 1_000_000
"""In a split: they are all made, and held in memory, before anything else happens."""


class Request(Record):
    """What every run needs to know. Unset fields are decided by the model, the task or the machine."""

    task: str = ""
    """Task family with dials (`chain?level=4`), `rg:FAMILY`, JSONL or CSV file; the recipe's own if unset."""
    model: str = "tiny"
    """Model name, folder, hub id or `openai:NAME@URL`."""
    verifier: str | None = None
    """Verifier name or `file.py:function`; the task's own if unset."""
    held_back: str | None = None
    """Stricter verifier that the loop never sees; val is scored with it, too, and a growing gap warned of."""
    question_field: str | None = None
    """Field of the question, for files."""
    answer_field: str | None = None
    """Field of the reference answer, for files."""
    train: int = Field(default=256, ge=1, le=MOST_TASKS)
    """Training tasks."""
    val: int = Field(default=100, ge=1, le=MOST_TASKS)
    """Validation tasks, for the gate."""
    test: int = Field(default=200, ge=1, le=MOST_TASKS)
    """Sealed test tasks."""
    seed: int = Field(default=0, ge=0)
    """Seed of everything random."""
    style: Style | None = None
    """How a question is put: plain text or chat."""
    shots: int | None = Field(default=None, ge=0)
    """Solved examples before each question, taken out of the training tasks."""
    instruction: str = ""
    """Text before the examples."""
    max_tokens: int | None = Field(default=None, ge=1)
    """Longest response."""
    test_temperature: float = Field(default=0.0, ge=0)
    """Temperature at which policies are scored; 0 is greedy, 1 is what the model draws by itself."""
    gate: GateMode = GateMode.OBSERVE
    """Adopt every candidate and only measure, or adopt accepted ones only."""
    control_samples: int = Field(default=64, ge=1)
    """Cap on samples per test task in the control that spends the budget on more samples."""
    forbid: tuple[Channel, ...] = ()
    """Information channels the recipe must not use."""
    executor: str = Field(default="local", exclude=True)
    """Where judges run, or the runs of a comparison: local, ray, or ray:ADDRESS; with `?engines=4&gpus=1`
    behind it, so many processes there make the attempts. No part of what a run is: its journal stays what
    it is."""
    price: str = ""
    """Dollars per million tokens of an endpoint, `in=0.15,out=0.6`, for the meter and the budget."""
    threads: int | None = Field(default=None, ge=1)
    """Compute threads."""
    lora_rank: int | None = Field(default=None, ge=0)
    """Train an adapter of this rank; 0 trains the weights; unset, models above 50 M parameters get 16."""
    processes: int = Field(default=1, ge=1, le=64)
    """Processes, one GPU each, over which learners spread the weights."""
    dtype: str | None = None
    """Number type of the model."""
    chunk_rows: int | None = Field(default=None, ge=1)
    """Attempts per journal row."""


class RunSpec(Request):
    """A run as asked for, whole."""

    recipe: str
    """Recipe name, or a path to a recipe file."""
    settings: Mapping[str, JsonValue] = Field(default_factory=dict)
    """The recipe's own settings."""
    budget: Budget = Budget()
    """Limits on what the method may use."""

    @classmethod
    def at(cls, recipe: str, place: Setting, asked: Mapping[str, Any], **more: Any) -> RunSpec:
        """A run at a recipe's own place, with what is asked for on top.

        A task that is asked for replaces the place as a whole: what fits one task need not fit another.
        """
        if "task" in asked:
            place = Setting()
        settings = {**place.config, **asked.get("settings", {})}
        return cls(**{**place.request, **asked, **more, "recipe": recipe, "settings": settings})
