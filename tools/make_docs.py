"""Write docs/recipes/NAME.md for every recipe, docs/results.md, and the list of modules in ARCHITECTURE.md.

results/NAME.json is what `sharpen reproduce NAME` wrote, results/NAME.MODEL.json one run's result.json.

python tools/make_docs.py
"""

from __future__ import annotations

import ast
from pathlib import Path

import sharpen
from sharpen.core.recipe import Recipe, header, load_recipe, recipe_names
from sharpen.core.stats import Interval
from sharpen.experiment.reproduce import Reproduction
from sharpen.experiment.result import Result

DOCS = Path("docs")
RESULTS = Path("results")
ARCHITECTURE = Path("ARCHITECTURE.md")
HEAD = "| module | purpose |\n|---|---|\n"
_SINGLE = (
    *("task", "seed", "n", "before", "after", "after - before"),
    *("more samples", "after - more samples", "seconds"),
)


def main() -> None:
    """Write all pages."""
    (DOCS / "recipes").mkdir(parents=True, exist_ok=True)
    for name in recipe_names():
        (DOCS / "recipes" / f"{name}.md").write_text(page(name), encoding="utf-8")
    (DOCS / "results.md").write_text(overview(), encoding="utf-8")
    ARCHITECTURE.write_text(with_modules(ARCHITECTURE.read_text(encoding="utf-8")), encoding="utf-8")


def with_modules(text: str) -> str:
    """The text with its table of modules made anew, one line each, from their docstrings."""
    root = Path(sharpen.__file__).parent
    before, rest = text.split(HEAD)
    _, _, after = rest.partition("\n\n")
    paths = sorted(
        root.glob("*/*.py"), key=lambda path: (path.parent.name, path.stem != "__init__", path.stem)
    )
    lines = (f"| `{_shown(path.relative_to(root))}` | {_summary(path)} |\n" for path in paths)
    return before + HEAD + "".join(lines) + "\n" + after


def _shown(path: Path) -> str:
    return f"{path.parent}/" if path.stem == "__init__" else str(path)


def _summary(path: Path) -> str:
    doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return doc.split("\n\n", 1)[0].replace("\n", " ").replace("|", "\\|")


def page(name: str) -> str:
    """The page of a recipe."""
    recipe = load_recipe(name)
    title, _, rest = header(name).partition("\n")
    parts = [
        f"# {name}",
        f"*{title}*",
        f"{recipe.paper} · improves {recipe.improves} · sees {', '.join(recipe.sees)} · "
        f"[source](../../src/sharpen/recipes/{name}.py)",
        rest.strip(),
        "## Settings\n\n" + settings(recipe),
        "## Results\n\n" + results(name),
    ]
    return "\n\n".join(parts) + "\n"


def settings(recipe: Recipe) -> str:
    """The table of settings with their defaults."""
    rows = ["| option | default | meaning |", "|---|---|---|"]
    for field, info in recipe.config.model_fields.items():
        default = getattr(info.default, "value", info.default)
        meaning = " ".join((info.description or "").split())
        rows.append(f"| `--{field.replace('_', '-')}` | `{default}` | {meaning} |")
    return "\n".join(rows)


def results(name: str) -> str:
    """What was measured of a recipe."""
    found = reproduction(name)
    parts = [claim(found)] if found else []
    parts += [single(path) for path in sorted(RESULTS.glob(f"{name}.*.json"))]
    return "\n\n".join(parts) or "Not measured yet."


def reproduction(name: str) -> Reproduction | None:
    """The recipe's reproduction, if it was made."""
    path = RESULTS / f"{name}.json"
    return Reproduction.model_validate_json(path.read_bytes()) if path.is_file() else None


def claim(found: Reproduction) -> str:
    """The claim's table, its verdict, and what was tried."""
    hardware = f"{found.hardware.get('cpu')}, {found.hardware.get('threads')} thread"
    seconds = [row.seconds for row in found.rows if row.arm == "method"]
    lines = [
        f"**Claim:** {found.claim} **{found.verdict.value.capitalize()}** on `{found.task}` with "
        f"{found.model}, seeds {', '.join(map(str, found.seeds))}, {found.sizes[2]} sealed test tasks; "
        f"`{found.command}`, {found.date}.",
        "",
        f"Effect over *{found.against}*: {found.effect.percent(signed=True)}. Gain over *before*: "
        f"{found.gain.percent(signed=True)}. Ablation over *{found.against}*: "
        f"{found.ablation.percent(signed=True)}.",
        "",
        "| arm | settings | score (95 % interval) | sampled tokens | trained tokens | steps |",
        "|---|---|---|---|---|---|",
    ]
    for name, arm in found.arms.items():
        own = ", ".join(f"{key} = {value}" for key, value in arm.settings.items())
        used = arm.usage
        cost = (used.sampled_tokens, used.trained_tokens, used.environment_steps) if used else ()
        cells = [f"{number:,}" for number in cost] or ["", "", ""]
        lines.append(f"| {name} | {own} | {arm.percent()} | {' | '.join(cells)} |")
    lines += ["", f"{sum(seconds) / len(seconds):.0f} s a run on {hardware}; commit {found.commit[:12]}."]
    if found.tried:
        lines += ["", "Also tried:", *(f"- {text}" for text in found.tried)]
    return "\n".join(lines)


def single(path: Path) -> str:
    """One run that is committed as it is."""
    result = Result.model_validate_json(path.read_bytes())
    more = result.controls.more_samples
    cells = (
        f"`{result.spec.task}`",
        str(result.spec.seed),
        str(result.test.delta.n),
        result.test.before.percent(),
        result.test.after.percent(),
        result.test.delta.percent(signed=True),
        f"{more.percent()} ({more.note.partition(' samples')[0]})",
        more.after_minus.percent(signed=True),
        f"{result.wall_seconds:.0f}",
    )
    heads = [
        "task",
        "seed",
        "n",
        "before",
        "after",
        "after - before",
        "more samples",
        "after - more samples",
        "seconds",
    ]
    rows = [heads, ["---"] * len(heads), cells]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return f"**{result.spec.model}**, one run:\n\n{table}"


def overview() -> str:
    """Every recipe's verdict in one table."""
    lines = [
        "# Results",
        "",
        "Made by `make docs` from the files in results/, which `sharpen reproduce NAME` writes.",
        "",
        "| recipe | improves | on | verdict | before | method | effect | over | ablation | seeds |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name in recipe_names():
        found, improves = reproduction(name), load_recipe(name).improves
        page = f"[{name}](recipes/{name}.md)"
        if found is None:
            lines.append(f"| {page} | {improves} | | not measured yet | | | | | | |")
            continue
        scores = (_mean(found.arms["before"]), _mean(found.arms["method"]))
        lines.append(
            f"| {page} | {improves} | `{found.task}`, {found.model} | {found.verdict.value} | "
            f"{' | '.join(scores)} | {found.effect.percent(signed=True)} | {found.against} | "
            f"{found.ablation.percent(signed=True)} | {len(found.seeds)} |"
        )
    return "\n".join(lines) + "\n"


def _mean(score: Interval) -> str:
    return "unknown" if score.mean is None else f"{score.mean:.1%}"


if __name__ == "__main__":
    main()
