"""Python programs that a model edits by the order of the program's own improver.

The program's `meta_agent.py` runs in the sandbox and puts the order into words; a model replies with edits
(sharpen.stores.programs); the child must load in the sandbox. The order is made from the program's files, its
training scores, failed training tasks and the record of edits: nothing held out is in reach of either.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field, JsonValue

from sharpen.core.artifact import Artifact, Kind
from sharpen.core.budget import Usage
from sharpen.core.policy import Decoding, Policy
from sharpen.core.records import Record, digest
from sharpen.core.task import Message, Role
from sharpen.core.updater import Updated, Workbench
from sharpen.models.base import Completion, Model, Prompt
from sharpen.models.loading import render_messages
from sharpen.sandbox.asking import Said, ask
from sharpen.sandbox.process import Limits
from sharpen.search.improver import Brief
from sharpen.stores.archive import Flag
from sharpen.stores.programs import (
    FORM_OF_REPLY,
    IMPROVER_FILE,
    IMPROVER_FUNCTION,
    PROBE,
    TASK_FILE,
    TASK_FUNCTION,
    Files,
    Refused,
    parse_reply,
    patch_text,
    patched,
    starter_program,
)

MAX_ORDER = 60_000
PROBING = """import importlib


def loads(part):
    return callable(getattr(importlib.import_module(part[0]), part[1], None))
"""
LIMITS = Limits(seconds=5.0, output=1_000_000)


class PythonFounding(Record):
    """Updater that gives a policy its first program."""

    light: ClassVar[bool] = True

    files: Files = Field(default_factory=starter_program)

    @property
    def fingerprint(self) -> str:
        """Hash of the program."""
        return digest(["python", dict(self.files)])

    def update(self, work: Workbench, policy: Policy, batch: object) -> Updated:
        """The policy with the program."""
        return Updated(policy=_programmed(work, policy, self.files, {"edits": []}))


class ModelEditing(Record):
    """Updater that has a policy's program edited by the policy's model, as its own improver orders.

    The child's metadata hold `edits` (the files that changed), `patch` (a unified diff) and, if something
    is wrong with it, `flag` and `detail`: `empty` (nothing was changed, or the reply was refused), `invalid`
    (it does not load), `barren` (the parent's improver failed, so there is no order and no change).
    """

    light: ClassVar[bool] = True

    evolving: bool
    """Whether the improver may be edited too."""
    max_tokens: int = Field(default=4_000, ge=1)
    """Longest reply."""

    @property
    def fingerprint(self) -> str:
        """Hash of the settings."""
        return digest(["python", self])

    def update(self, work: Workbench, policy: Policy, batch: Brief) -> Updated:
        """The child."""
        files = _files_of(work, policy)
        order = ordered(files, batch)
        if not order.answer:
            return _updated(_marked(policy, Flag.BARREN, f"{IMPROVER_FILE}: {order.reason}"))
        done = self._asked(work, policy, order.answer)
        usage = Usage(model_calls=1, sampled_tokens=len(done.token_ids))
        protected = frozenset() if self.evolving else frozenset({IMPROVER_FILE})
        try:
            new = patched(files, parse_reply(done.text), protected)
        except Refused as refused:
            return _updated(_marked(policy, Flag.EMPTY, refused.problem), usage)
        return _updated(self._child(work, policy, files, new), usage)

    def _asked(self, work: Workbench, policy: Policy, order: str) -> Completion:
        model: Model = work.models[policy.model]  # type: ignore[assignment]  # models are opened as such
        text = f"{order}\n\n{FORM_OF_REPLY}"
        if not self.evolving:
            text += f"\n{IMPROVER_FILE} is protected."
        if hasattr(model, "chat"):
            text = render_messages(model, (Message(role=Role.USER, content=text),))
        with work.stopwatch:
            done = model.sample([Prompt(text, (work.seed,))], Decoding(max_tokens=self.max_tokens))
        return done[0].samples[0]

    def _child(self, work: Workbench, policy: Policy, old: Files, new: Files) -> Policy:
        changed: list[JsonValue] = [name for name in new if new[name] != old.get(name)]
        if not changed:
            return _marked(policy, Flag.EMPTY, "the edits change nothing")
        facts: dict[str, JsonValue] = {"edits": changed, "patch": patch_text(old, new)}
        if problem := loading_problem(new):
            facts |= {"flag": Flag.INVALID.value, "detail": problem}
        return _programmed(work, policy, new, facts)


def ordered(files: Files, brief: Brief) -> Said:
    """The order that a program's improver gives, or why it gives none."""
    told: JsonValue = {"files": dict(files), **json.loads(_told(brief))}
    return ask(_bytes(files), IMPROVER_FILE, IMPROVER_FUNCTION, [told], limits=LIMITS, longest=MAX_ORDER)[0]


def _told(brief: Brief) -> str:
    report = {
        name: {"score": seen.score, "examples": [example._asdict() for example in seen.examples]}
        for name, seen in brief.report.items()
    }
    return json.dumps({"report": report, "past": {kind: t._asdict() for kind, t in brief.past.items()}})


def loading_problem(files: Files) -> str:
    """Why a program cannot be used: one of its two files does not load; empty if both do."""
    parts = ((TASK_FILE, TASK_FUNCTION), (IMPROVER_FILE, IMPROVER_FUNCTION))
    wanted: list[JsonValue] = [[file.removesuffix(".py"), function] for file, function in parts]
    heard = ask({**_bytes(files), PROBE: PROBING.encode()}, PROBE, "loads", wanted, limits=LIMITS)
    for (file, function), said in zip(parts, heard, strict=True):
        if said.answer != "True":
            return f"{file} does not load: {said.reason or f'it defines no function {function}'}"
    return ""


def _files_of(work: Workbench, policy: Policy) -> dict[str, str]:
    files = policy.parts[Kind.PROGRAM].files
    return {name: work.store.get(sha).decode() for name, sha in sorted(files.items())}


def _bytes(files: Files) -> dict[str, bytes]:
    return {name: text.encode() for name, text in files.items()}


def _programmed(work: Workbench, policy: Policy, files: Files, facts: Mapping[str, JsonValue]) -> Policy:
    stored = {name: work.store.put(data) for name, data in sorted(_bytes(files).items())}
    return policy.with_part(
        Artifact(kind=Kind.PROGRAM, files=stored, parents=(policy.version,), metadata=facts)
    )


def _updated(policy: Policy, usage: Usage | None = None) -> Updated:
    """The child, with what there is to say of it in the report of its round."""
    facts = policy.parts[Kind.PROGRAM].metadata
    report = {name: facts[name] for name in ("edits", "flag", "detail") if name in facts}
    return Updated(policy=policy, usage=usage or Usage(), report=report)


def _marked(policy: Policy, flag: Flag, detail: str) -> Policy:
    """The policy as it is, with the reason why it was not changed."""
    facts: dict[str, JsonValue] = {"edits": [], "flag": flag.value, "detail": detail[:300]}
    return policy.with_part(policy.parts[Kind.PROGRAM].model_copy(update={"metadata": facts}))
