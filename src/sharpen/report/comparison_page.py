"""The report of a comparison: who stands where, by what, at which cost."""

from __future__ import annotations

from sharpen.experiment.comparison import Comparison, Role
from sharpen.report.charts import comparison as charts
from sharpen.report.charts.base import count
from sharpen.report.page import Page, Section, Titled
from sharpen.report.run_page import charts_of, flat


def comparison_page(found: Comparison, name: str) -> Page:
    """Everything that a comparison says; `name` is that of its folder."""
    sections = (_scores(found), _budgets(found), _runs(found), _settings(found))
    return Page(
        kind=f"comparison {name}",
        title=f"{_arms(found)} on {found.task}, {found.model}",
        lead=found.conclusion,
        warnings=found.notes[1:],
        sections=tuple(section for section in sections if not section.empty),
    )


def _arms(found: Comparison) -> str:
    methods = sum(arm.role is Role.METHOD for arm in found.arms)
    return f"{count(methods, 'method')} and {count(len(found.arms) - methods, 'control')}"


def _scores(found: Comparison) -> Section:
    many = f"{len(found.seeds)} seeds" if len(found.seeds) != 1 else "1 seed"
    return Section(
        name="scores",
        title="Scores",
        notes=(
            "; ".join((f"{many}, {found.sizes[2]} sealed test tasks", *found.notes[:1])) + ".",
            "Arms whose difference is not clear share a rank. Differences are paired by seed and task and "
            "corrected for their number.",
        ),
        charts=charts_of(charts.scores(found), charts.against_control(found)),
        tables=(
            Titled(title="Standings", table=charts.standings(found)),
            Titled(title="Pairs", table=charts.pairs(found)),
        ),
    )


def _budgets(found: Comparison) -> Section:
    return Section(
        name="budgets",
        title="Score against budget",
        charts=(*charts.by_budget(found), *charts_of(charts.limits(found))),
    )


def _runs(found: Comparison) -> Section:
    return Section(
        name="runs", title="Runs", tables=(Titled(title="One row a seed", table=charts.seeds(found)),)
    )


def _settings(found: Comparison) -> Section:
    asked = found.model_dump(
        mode="json",
        exclude_none=True,
        include={"task", "model", "verifier", "test_temperature", "budget", "seeds"},
    ) | {"tasks": dict(zip(("train", "val", "test"), found.sizes, strict=True))}
    arms = {arm.name: {"recipe": arm.recipe, "paper": arm.paper, **arm.settings} for arm in found.arms}
    return Section(
        name="settings",
        title="Configuration and hardware",
        facts=(("command", found.command), ("commit", found.commit)),
        tables=(
            Titled(title="Shared by all arms", table=flat(asked)),
            Titled(title="Arms", table=flat(arms)),
            Titled(title="Hardware", table=flat(found.hardware)),
            Titled(title="Versions", table=flat(found.versions)),
        ),
    )
