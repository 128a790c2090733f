"""The table of commands; each is imported only when it is used."""

from __future__ import annotations

from collections.abc import Sequence

from cyclopts import App

import sharpen

_COMMANDS = {
    "quickstart": ("runs:quickstart", "See a model get better, with proof, in a few minutes."),
    "resume": ("runs:resume", "Go on with a run that was stopped, killed, or ran out of budget."),
    "runs": ("runs:runs", "List runs with their state."),
    "show": ("runs:show", "Show a run's result, or every attempt at a task in it."),
    "report": ("report:report", "Write a run, or a comparison, as one HTML file."),
    "ui": ("ui:ui", "Show runs in a browser, live; stop and resume them."),
    "eval": ("inspect:evaluate", "Score a model on a task."),
    "export": ("inspect:export", "Write a run's improved model as a Hugging Face folder."),
    "serve": ("serve:serve", "Serve a run's policy, or a model, as an OpenAI-compatible endpoint."),
    "recipes": ("catalog:recipes", "List the recipes."),
    "models": ("catalog:models", "List the models."),
    "tasks": ("catalog:tasks", "List the task families."),
    "check": ("catalog:check", "Run the cases of a verifier, task or recipe."),
    "reproduce": ("reproduce:reproduce", "Test a recipe's claim over seeds, against baselines and ablation."),
    "attack": ("attack:attack", "Attack the sandbox, verifiers, judges, environments; also your own."),
    "compare": ("compare:compare", "Put methods side by side at one budget, over seeds, with both controls."),
    "bench": ("bench:bench", "Measure speed side by side with peers and with the machine's limits."),
    "capacity": ("capacity:capacity", "Compute what a run of a 7B or 70B model needs, from measured rates."),
    "doctor": ("catalog:doctor", "Probe the machine and say what to do."),
}


def build(words: Sequence[str]) -> App:
    """The application; of all recipes only the one that is named in `words` is imported."""
    app = App(
        name="sharpen",
        help=sharpen.__doc__,
        version=sharpen.__version__,
        suppress_keyboard_interrupt=False,
    )
    app.command(_run_app(words))
    for name, (target, summary) in _COMMANDS.items():
        app.command(f"sharpen.cli.{target}", name=name, help=summary)
    return app


def _run_app(words: Sequence[str]) -> App:
    app = App(name="run", help="Run a recipe: `sharpen run RECIPE --task TASK`. Running it again resumes.")
    if not words or words[0] != "run":
        return app
    from sharpen.cli.runs import run_command
    from sharpen.core import plugins
    from sharpen.core.recipe import PACKAGE

    named = words[1] if len(words) > 1 else "--help"
    if not named.startswith("-"):
        app.command(run_command(named), name=named)
    else:
        for name, summary in plugins.names(PACKAGE).items():
            app.command(App(name=name, help=summary))
    return app
