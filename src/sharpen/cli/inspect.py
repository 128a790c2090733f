"""Commands that look at a model: evaluate it, export what a run made of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from sharpen.cli.output import Json, print_json, print_pairs
from sharpen.cli.runs import NOTHING_ASKED
from sharpen.experiment.spec import Request


def evaluate(
    *,
    request: Annotated[Request, Parameter(name="*")] = NOTHING_ASKED,
    samples: int = 1,
    json: Json = False,
) -> None:
    """Score a model on a task's validation split, with an interval; the test split stays sealed.

    Parameters
    ----------
    samples
        Attempts per task.
    """
    from sharpen.experiment.evaluate import evaluate as score

    report = score(request, samples=samples)
    if json:
        print_json(report)
    else:
        print_pairs(report.lines())


def export(
    folder: Path,
    target: Path,
    /,
    *,
    adapter: Annotated[bool, Parameter(negative="")] = False,
    json: Json = False,
) -> None:
    """Write a run's improved model as a Hugging Face folder.

    Parameters
    ----------
    folder
        Folder of the run.
    target
        Folder to write; must not exist or be empty.
    adapter
        Keep a LoRA adapter apart instead of merging it.
    """
    from sharpen.experiment.export import export as write

    written = write(folder, target, merged=not adapter)
    if json:
        print_json(written)
    else:
        print_pairs(written.lines())
