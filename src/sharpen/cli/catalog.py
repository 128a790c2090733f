"""Commands that list and check what there is."""

from __future__ import annotations

import sys
from pathlib import Path

from sharpen.cli.output import Json, print_json, print_pairs
from sharpen.core.check import Checkable


def models(*, json: Json = False) -> None:
    """List the models at hand and the forms of name that open others."""
    from sharpen.models.source import list_models

    found = list_models()
    if json:
        print_json(found)
    else:
        print_pairs([(info.name, info.line()) for info in found])


def tasks(*, json: Json = False) -> None:
    """List the task families with their dials."""
    from sharpen.tasks.source import family_names

    found = {
        **family_names(),
        "rg:FAMILY": "Any admitted family of reasoning-gym, e.g. rg:countdown?max_value=20.",
        "FILE.jsonl, FILE.csv": "Your own questions and answers; see --question-field, --answer-field.",
        "FILE.py": "Your own generator: generate(rng, *, level=2) -> Problem.",
    }
    if json:
        print_json(found)
    else:
        print_pairs(list(found.items()))


def recipes(*, results: Path = Path("results"), json: Json = False) -> None:
    """List the recipes: paper, what improves, what is seen and needed, what the reproduction found.

    Parameters
    ----------
    results
        Folder of the files that `sharpen reproduce` writes.
    """
    from sharpen.experiment.catalog import listed

    found = listed(results)
    if json:
        print_json(found)
    else:
        print_pairs(
            [
                (one.slug, f"{one.verdict or 'not measured':<12}  {one.improves:<14}  {one.summary}")
                for one in found
            ]
        )


def check(
    kind: Checkable,
    name: str,
    /,
    *,
    question_field: str | None = None,
    answer_field: str | None = None,
    json: Json = False,
) -> None:
    """Run the cases of a verifier, task or recipe; exit 1 if one fails.

    Parameters
    ----------
    kind
        verifier, task or recipe.
    name
        Its name, spec or file.
    question_field
        Field of the question, for a task file.
    answer_field
        Field of the reference answer, for a task file.
    """
    from sharpen.experiment.check import check as run_cases

    report = run_cases(kind, name, question_field=question_field, answer_field=answer_field)
    if json:
        print_json(report)
    else:
        print_pairs(report.lines())
    if not report.ok:
        sys.exit(1)


def doctor(*, json: Json = False) -> None:
    """Probe the machine: numbers, threads, disk, models, optional parts; say what to do."""
    from sharpen.experiment.doctor import examine

    findings = examine()
    if json:
        print_json(findings)
    else:
        print_pairs([(finding.what, finding.line()) for finding in findings])
