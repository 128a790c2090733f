"""What a writer of skills is given, and the writer that asks a chat model.

A writer is an Updater: from a policy and a `Rewrite` to the policy with one skill changed or added. If it
finds nothing to write, the policy comes back as it was.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field, ValidationError

from sharpen.core.artifact import Kind
from sharpen.core.budget import Usage
from sharpen.core.errors import BadInput
from sharpen.core.policy import Decoding, Policy
from sharpen.core.records import Record, digest
from sharpen.core.task import Message, Role
from sharpen.core.updater import Updated, Workbench
from sharpen.models.base import Model, Prompt
from sharpen.models.loading import render_messages
from sharpen.stores.skills import CODE, MAX_FILE, TEXT, Library, Skill, read_library

FENCE = re.compile(r"^```(?P<kind>markdown|md|python|py)[ \t]*\n(?P<body>.*?)^```", re.DOTALL | re.MULTILINE)
STOP_WORDS = frozenset(["the", "and", "for", "are", "was", "this", "that", "these", "those", "with", "you"])
DESCRIBED = 30
"""Words of a description made from questions."""


class Case(Record):
    """A question with its right answer, and what the skill said."""

    question: str
    right: str
    said: str = ""


class Rewrite(Record):
    """An order to a writer."""

    skill: str | None
    """The skill to rewrite; None for a new one."""
    failures: tuple[Case, ...] = Field(min_length=1)
    """Questions it got wrong; the first is the one that has to come right."""
    keep: tuple[Case, ...] = ()
    """Questions it got right, which must stay so."""


def library_of(work: Workbench, policy: Policy) -> Library:
    """The library that a policy acts by."""
    files = policy.parts[Kind.SKILLS].files if Kind.SKILLS in policy.parts else {}
    return read_library(policy, {name: work.store.get(sha) for name, sha in files.items()})


def described(questions: Sequence[str]) -> str:
    """When to use a skill: the words that most of these questions share, in the order of the first."""
    counts = Counter(word for question in questions for word in set(_words(question)))
    shared = [word for word in dict.fromkeys(_words(questions[0])) if 2 * counts[word] > len(questions)]
    return "Questions with the words: " + " ".join(shared[:DESCRIBED] or ["any"])


def named(library: Library, questions: Sequence[str]) -> str:
    """A free name from what the questions share."""
    said = described(questions).partition(": ")[2].split()
    telling = [word for word in said if len(word) > 2 and word.isascii() and word not in STOP_WORDS]
    return library.free_name("-".join(telling[:4]))


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W\d_]+", text.lower()[:MAX_FILE])


class ModelWriter(Record):
    """Asks a model for the files of the changed skill; reads its reply with limits and runs none of it."""

    light: ClassVar[bool] = True

    writer: Policy
    """From `run.helper(...)`."""
    max_tokens: int = Field(default=1_500, ge=1)
    """Longest reply."""

    @property
    def fingerprint(self) -> str:
        """Hash of its settings."""
        return digest(["model writer", self.writer.version, self.max_tokens])

    def update(self, work: Workbench, policy: Policy, batch: Rewrite) -> Updated:
        """The policy with the skill that the model wrote; unchanged if its reply holds none."""
        library = library_of(work, policy)
        model: Model = work.models[self.writer.model]  # type: ignore[assignment]  # models are opened as such
        text = _rendered(model, order(library, batch))
        with work.stopwatch:
            done = model.sample([Prompt(text, (work.seed,))], Decoding(max_tokens=self.max_tokens))
        sample = done[0].samples[0]
        usage = Usage(model_calls=1, sampled_tokens=len(sample.token_ids))
        skill, problem = parsed(sample.text, library, batch)
        if skill is None:
            return Updated(policy=policy, usage=usage, report={"problem": problem})
        return Updated(policy=policy.with_part(library.put(skill).stored(work.store, policy)), usage=usage)


def _rendered(model: Model, text: str) -> str:
    if hasattr(model, "chat"):
        return render_messages(model, (Message(role=Role.USER, content=text),))
    return f"Q: {text}\nA:"


def order(library: Library, batch: Rewrite) -> str:
    """The order in words: the skill's folder, what went wrong, what must stay, the form of the reply."""
    skill = library.get(batch.skill) if batch.skill else None
    if skill:
        parts = [f"Rewrite this skill.\n\n{TEXT}:\n{skill.markdown}\n{CODE}:\n{skill.code}"]
    else:
        known = ", ".join(skill.name for skill in library.skills)
        parts = [f"Write a new skill for questions like these. There are already: {known}."]
    wrong = [f"- {c.question}\n  said: {c.said or 'nothing'}\n  right: {c.right}" for c in batch.failures]
    parts.append("It got these wrong:\n" + "\n".join(wrong))
    if batch.keep:
        kept = [f"- {case.question}\n  right: {case.right}" for case in batch.keep]
        parts.append("It got these right, which must stay so:\n" + "\n".join(kept))
    parts.append(
        "The skill must compute answers to any question of the kind and hold none of the answers above. "
        "Reply with two blocks: ```markdown (--- name: kebab-case, description: one line --- and "
        "instructions) and ```python (standard library only; a function solve(question: str) -> str, which "
        "returns None if it does not apply)."
    )
    return "\n\n".join(parts)


def parsed(reply: str, library: Library, batch: Rewrite) -> tuple[Skill | None, str]:
    """The skill in a reply, under the name it must have; None and the reason if there is none."""
    blocks = {found["kind"][0]: found["body"] for found in FENCE.finditer(reply[: 3 * MAX_FILE])}
    if set(blocks) != {"m", "p"}:
        return None, "the reply lacks one of its two blocks"
    old = library.get(batch.skill) if batch.skill else None
    try:
        head = re.search(r"^name:[ \t]*(\S+)", blocks["m"], re.MULTILINE)
        name = old.name if old else library.free_name(head[1] if head else "skill")
        text = re.sub(r"^name:.*$", f"name: {name}", blocks["m"], count=1, flags=re.MULTILINE)
        files = {f"{name}/{TEXT}": text.encode(), f"{name}/{CODE}": blocks["p"].encode()}
        skill = Library.read(files).skills[0]
    except (BadInput, ValidationError, UnicodeEncodeError) as error:
        return None, str(error)[:200]
    counts = {"n_succ": old.n_succ, "n_fail": old.n_fail} if old else {}
    return skill.model_copy(update={**counts, "writes": (old.writes if old else 0) + 1}), ""
