"""Places that recipes for questions and answers share, so that they can be compared as they stand."""

from __future__ import annotations

from sharpen.core.recipe import Setting
from sharpen.core.task import SINGLE_TURN

WORDS = (SINGLE_TURN, "episodes", "with_python")
"""Actors of tasks that are tried in the policy's own words, in one go or in several."""

HOME = Setting(request={"task": "expression?level=4", "train": 360, "val": 64, "test": 400})
"""A level that the shipped model solves in part, with room both ways."""

DEMO = Setting(
    request={
        "task": "equation?level=2",
        "instruction": "#",
        "max_tokens": 40,
        "train": 100,
        "val": 16,
        "test": 100,
        "test_temperature": 1.0,
    }
)
"""Short questions that the shipped model can answer, below a line that it has never seen and that throws it
off: of the answers that it draws three in ten are right, and it soon learns not to mind the line."""

SMALL = Setting(
    request={"task": "chain?level=2", "train": 16, "val": 8, "test": 8, "control_samples": 2, "threads": 1}
)
"""Seconds, on an easy level."""

FAMILIES = Setting(
    request={
        "task": 'mixed?families=["rg:gcd","rg:lcm","rg:chain_sum","rg:products","rg:letter_counting",'
        '"rg:word_sorting","rg:word_sequence_reversal","rg:time_intervals"]',
        "model": "none",
        "train": 160,
        "val": 64,
        "test": 240,
        "control_samples": 1,
    }
)
"""Many questions of eight families of reasoning-gym in equal shares, for policies that are programs."""

GROUPS = Setting(
    request={"task": "equation?level=4", "train": 576, "val": 64, "test": 400, "test_temperature": 1.0},
    config={"iterations": 6, "prompts": 96, "group": 4, "mini_batch": 16, "lr": 5e-5},
)
"""Short questions, of whose answers the shipped model draws four in ten right; scored as they are drawn."""

GROUPS_DEMO = DEMO.at(iterations=2, prompts=48, group=4, mini_batch=16, lr=1e-4)
"""Two rounds of groups."""
