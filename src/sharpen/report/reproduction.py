"""Prints a reproduction: every arm's score, the effect, and what may be said of the claim."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sharpen.experiment.reproduce import Arm, Reproduction


def print_reproduction(console: Console, found: Reproduction) -> None:
    """The table of arms and the verdict."""
    seeds = f"{len(found.seeds)} seeds" if len(found.seeds) > 1 else "1 seed"
    table = Table(title=escape(f"{found.slug} on {found.task}, {found.model}, sealed test, {seeds}"))
    for heading in ("arm", "score (95 % interval)", "tokens sampled", "trained", "steps"):
        table.add_column(heading, justify="left" if heading == "arm" else "right")
    for name, arm in found.arms.items():
        style = "bold" if name == "method" else ""
        table.add_row(escape(name), arm.percent(), *_used(arm), style=style)
    console.print()
    console.print(table)
    for name, text in (
        ("claim", found.claim),
        ("effect", f"{found.effect.percent(signed=True)} over {found.against}"),
        ("gain", f"{found.gain.percent(signed=True)} over before"),
        ("ablation", f"{found.ablation.percent(signed=True)} over {found.against}"),
        ("verdict", found.verdict.value),
    ):
        console.print(f"{name:<9} {text}", highlight=False, markup=False)


def _used(arm: Arm) -> tuple[str, ...]:
    if arm.usage is None:
        return ("", "", "")
    used = (arm.usage.sampled_tokens, arm.usage.trained_tokens, arm.usage.environment_steps)
    return tuple(f"{number:,}" for number in used)
