"""What a self-improving program consists of: a pipeline with habits, or Python files that a model edits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from sharpen.core.policy import Policy
from sharpen.core.task import Task
from sharpen.core.updater import Updater
from sharpen.models.none import NoModel
from sharpen.search import improver
from sharpen.search.improver import Founding, SelfEditing
from sharpen.search.python_editing import ModelEditing, PythonFounding
from sharpen.search.staged import examples_of
from sharpen.stores import programs
from sharpen.stores.pipelines import FORMS, LABELS, Pipeline, form_fixed

FORM_AGENT = '''"""The part that does the tasks."""

import re

FORMS = {forms!r}


def answer(question: str) -> str:
    """The first number of the question in the form of its kind; the form may depend on its sign."""
    number = int((re.findall(r"\\d{{1,15}}", question) or ["0"])[0])
    low, high = FORMS.get((re.findall(r"^[A-Za-z]+", question) or [""])[0], ("{{}}", "{{}}"))
    return (high if number > 0 else low).format(number)
'''


class Genome(NamedTuple):
    """How programs of one kind are begun, edited and carried out."""

    actor: str
    task_file: str
    """The file that does the tasks."""
    improver_file: str
    """The file that says how both are edited."""
    bare: Updater
    """Gives a policy the program that repeats the question."""
    formed: Callable[[Sequence[Task]], Updater]
    """Gives it a program with the answer forms of training tasks and nothing else."""
    editor: Callable[[bool], Updater]
    """Makes children by their parent's improver; whether the improver is edited too."""


def genome_of(policy: Policy) -> Genome:
    """Python files edited by the policy's model; pipelines edited by chance where there is no model."""
    return PIPELINES if policy.base == NoModel.fingerprint else PYTHON


def form_agent(pipeline: Pipeline) -> str:
    """The Python text of a program that has the forms of a pipeline's rules."""
    forms = {
        rule.word: LABELS[rule.write][::-1] if rule.write in LABELS else (FORMS[rule.write],) * 2
        for rule in pipeline.rules
    }
    return FORM_AGENT.format(forms=forms)


def _python_formed(tasks: Sequence[Task]) -> Updater:
    files = {**programs.starter_program(), programs.TASK_FILE: form_agent(form_fixed(examples_of(tasks)))}
    return PythonFounding(files=files)


PIPELINES = Genome(
    actor="program",
    task_file=improver.TASK_FILE,
    improver_file=improver.IMPROVER_FILE,
    bare=Founding(),
    formed=lambda tasks: Founding(pipeline=form_fixed(examples_of(tasks))),
    editor=lambda evolving: SelfEditing(evolving=evolving),
)
PYTHON = Genome(
    actor="python_program",
    task_file=programs.TASK_FILE,
    improver_file=programs.IMPROVER_FILE,
    bare=PythonFounding(),
    formed=_python_formed,
    editor=lambda evolving: ModelEditing(evolving=evolving),
)
