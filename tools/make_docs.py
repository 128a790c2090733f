"""Write docs/recipes/NAME.md for every recipe, from its file and results/NAME.json.

python tools/make_docs.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sharpen.core.recipe import Recipe, header, load_recipe, recipe_names

DOCS = Path("docs/recipes")
RESULTS = Path("results")


def main() -> None:
    """Write all pages."""
    DOCS.mkdir(parents=True, exist_ok=True)
    for name in recipe_names():
        (DOCS / f"{name}.md").write_text(page(name), encoding="utf-8")


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
    """The tables of measured runs, by model."""
    path = RESULTS / f"{name}.json"
    if not path.is_file():
        return "Not measured yet."
    known = json.loads(path.read_text())
    return "\n\n".join(model_table(model, table) for model, table in known["models"].items())


def model_table(model: str, table: dict[str, Any]) -> str:
    """One model's runs."""
    rows = [
        f"**{model}**, sealed test split, 95 % intervals; `{table['command']}`",
        "",
        "| task | seed | before | after | after - before | no update | more samples | after - more samples |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in table["rows"]:
        rows.append(
            f"| `{row['task']}` | {row['seed']} | {row['before']['mean']:.1%} | {row['after']['mean']:.1%} "
            f"| {signed(row['delta'])} | {row['no_update']:.1%} "
            f"| {row['more_samples']:.1%} ({row['more_samples_drawn']} drawn) "
            f"| {signed(row['after_minus_more_samples'])} |"
        )
    first = table["rows"][0]
    hardware = f"{first['hardware'].get('cpu')}, {first['hardware'].get('threads')} thread"
    seconds = sum(row["wall_seconds"] for row in table["rows"]) / len(table["rows"])
    rows += [
        "",
        f"Intervals above zero: {table['intervals_above_zero']} of {table['seeds']}. "
        f"{seconds:.0f} s a run on {hardware}.",
    ]
    return "\n".join(rows)


def signed(interval: dict[str, float]) -> str:
    """A difference with its interval."""
    return f"{interval['mean']:+.1%} ({interval['low']:+.1%} to {interval['high']:+.1%})"


if __name__ == "__main__":
    main()
