"""A library of skills: Markdown and code in folders, which a person can read and edit.

On disk a skill is `NAME/SKILL.md` (front matter `name`, `description`; then instructions) and
`NAME/skill.py` (a function `solve(question) -> str`); `counters.json` holds how often each was right.
Code in a library is only ever data here: it runs in the sandbox alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import ClassVar

from pydantic import Field, ValidationError, field_validator

from sharpen.core.artifact import Artifact, ArtifactStore, Kind
from sharpen.core.errors import BadInput
from sharpen.core.policy import Policy
from sharpen.core.records import Record, canonical, digest
from sharpen.core.task import Task
from sharpen.core.updater import Updated, Workbench

TEXT, CODE, COUNTERS = "SKILL.md", "skill.py", "counters.json"
FRONT = re.compile(r"\A---[ \t]*\n(?P<head>.*?)^---[ \t]*\n?(?P<body>.*)\Z", re.DOTALL | re.MULTILINE)
NAME = r"^[a-z0-9]+(-[a-z0-9]+)*$"
MAX_FILE = 40_000
"""Characters of a file beyond which it is refused unread."""
SHORT_ANSWER = 4
"""Answers of fewer characters stand in texts by chance and are no sign of a leak."""


class Skill(Record):
    """A named way of answering one kind of question, with its record."""

    name: str = Field(pattern=NAME, max_length=64)
    """Kebab-case; also the folder's name."""
    description: str = Field(min_length=1, max_length=1024)
    """When to use it: what routers read. One line."""
    instructions: str = Field(default="", max_length=MAX_FILE)
    """Markdown for people and models."""
    code: str = Field(min_length=1, max_length=MAX_FILE)
    """Python source with a function `solve(question: str) -> str`."""
    n_succ: int = Field(default=0, ge=0)
    """Right answers so far."""
    n_fail: int = Field(default=0, ge=0)
    """Wrong answers so far."""
    writes: int = Field(default=0, ge=0)
    """How often it was written or rewritten; 0 for a skill that the library began with."""

    @field_validator("description")
    @classmethod
    def _one_line(cls, text: str) -> str:
        return " ".join(text.split())

    @property
    def uses(self) -> int:
        """Counted answers."""
        return self.n_succ + self.n_fail

    @property
    def utility(self) -> float:
        """Share of right answers, smoothed by one answer of each kind, so that few counts mean little."""
        return (self.n_succ + 1) / (self.uses + 2)

    @property
    def routing_text(self) -> str:
        """What a router reads of it."""
        return f"{self.name.replace('-', ' ')}. {self.description}"

    @property
    def markdown(self) -> str:
        """The text of SKILL.md."""
        head = f"---\nname: {self.name}\ndescription: {self.description}\n---\n"
        return f"{head}\n{self.instructions.strip()}\n" if self.instructions.strip() else head


class Library(Record):
    """Skills with different names, sorted by name."""

    skills: tuple[Skill, ...]

    @field_validator("skills")
    @classmethod
    def _sorted(cls, skills: tuple[Skill, ...]) -> tuple[Skill, ...]:
        names = [skill.name for skill in skills]
        if len(set(names)) != len(names):
            raise ValueError("two skills have one name")
        return tuple(sorted(skills, key=lambda skill: skill.name))

    def __len__(self) -> int:
        return len(self.skills)

    def get(self, name: str) -> Skill | None:
        """The skill of that name."""
        return next((skill for skill in self.skills if skill.name == name), None)

    def put(self, skill: Skill) -> Library:
        """The same library with this skill, in the place of one of its name."""
        return Library(skills=(*(s for s in self.skills if s.name != skill.name), skill))

    def only(self, name: str) -> Library:
        """A library of one skill."""
        return Library(skills=tuple(skill for skill in self.skills if skill.name == name))

    def free_name(self, wanted: str) -> str:
        """A legal name like the wanted one that no skill has."""
        stem = re.sub(r"[^a-z0-9]+", "-", wanted.lower()).strip("-")[:48].strip("-") or "skill"
        names, number = {skill.name for skill in self.skills}, 2
        if stem not in names:
            return stem
        while f"{stem}-{number}" in names:
            number += 1
        return f"{stem}-{number}"

    def counted(self, answers: Sequence[tuple[str, bool]]) -> Library:
        """The same library with (skill, right) pairs added to the counters; unknown names are left out."""
        added = {skill.name: skill for skill in self.skills}
        for name, right in answers:
            if (skill := added.get(name)) is not None:
                change = {"n_succ": skill.n_succ + right, "n_fail": skill.n_fail + (not right)}
                added[name] = skill.model_copy(update=change)
        return Library(skills=tuple(added.values()))

    def files(self) -> dict[str, bytes]:
        """Contents by file name."""
        found = {}
        for skill in self.skills:
            found[f"{skill.name}/{TEXT}"] = skill.markdown.encode()
            found[f"{skill.name}/{CODE}"] = skill.code.encode()
        counters = {s.name: [s.n_succ, s.n_fail, s.writes] for s in self.skills}
        return {**found, COUNTERS: canonical(counters)}

    @classmethod
    def read(cls, files: Mapping[str, bytes]) -> Library:
        """A library from its files; BadInput names the file and field that are wrong."""
        counters = _counters(files.get(COUNTERS, b"{}"))
        names = sorted({PurePosixPath(name).parts[0] for name in files if name.count("/") == 1})
        return cls(skills=tuple(_skill(name, files, counters.get(name, (0, 0, 0))) for name in names))

    def stored(self, store: ArtifactStore, parent: Policy) -> Artifact:
        """The library as an artifact."""
        return Artifact(
            kind=Kind.SKILLS,
            files={name: store.put(data) for name, data in sorted(self.files().items())},
            parents=(parent.version,),
        )

    def save(self, folder: Path) -> None:
        """Write the library into a new or empty folder, for a person to read and edit."""
        if folder.exists() and any(folder.iterdir()):
            raise BadInput("folder", str(folder), "holds other things", remedy="give a new or empty folder")
        for name, data in self.files().items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)

    @classmethod
    def load(cls, folder: Path) -> Library:
        """Read a folder back after a person's edits; BadInput names the file and field that are wrong."""
        if not folder.is_dir():
            raise BadInput("folder", str(folder), "is not a folder of skills", remedy="check the path")
        paths = [folder / COUNTERS, *(p for d in sorted(folder.iterdir()) for p in (d / TEXT, d / CODE))]
        found = {p.relative_to(folder).as_posix(): _bytes(p) for p in paths if p.is_file()}
        return cls.read(found)


def starters() -> Library:
    """The five elementary skills that come along."""
    return Library.load(Path(__file__).with_name("starters"))


def read_library(policy: Policy, contents: Mapping[str, bytes]) -> Library:
    """The library that a policy acts by, from the contents of its part."""
    if Kind.SKILLS not in policy.parts:
        raise BadInput("policy", policy.version, "has no skills", remedy="install a library first")
    return Library.read(contents)


class Install(Record):
    """Updater: put a library into the policy, which from then on acts by it."""

    light: ClassVar[bool] = True

    actor: str = "skills"

    @property
    def fingerprint(self) -> str:
        """Hash of its settings."""
        return digest(["install", self])

    def update(self, work: Workbench, policy: Policy, batch: Library) -> Updated:
        """The policy with this library."""
        return Updated(policy=policy.with_part(batch.stored(work.store, policy)).acting(self.actor))


def leaks(skill: Skill, tasks: Sequence[Task]) -> tuple[str, ...]:
    """Answers of tasks that stand in the skill's files as they are, so that it may know instead of compute.

    Answers that are short, or that are also words of a question, are too common to tell.
    """
    text = f"{skill.description}\n{skill.instructions}\n{skill.code}"
    found = []
    for task in tasks:
        answer = task.answer.strip()
        if len(answer) < SHORT_ANSWER or answer in task.question:
            continue
        if re.search(rf"(?<!\w){re.escape(answer)}(?!\w)", text):
            found.append(answer)
    return tuple(dict.fromkeys(found))


def _bytes(path: Path) -> bytes:
    if path.stat().st_size > 4 * MAX_FILE:
        raise BadInput(
            str(path), path.stat().st_size, "is too large", remedy=f"at most {MAX_FILE} characters"
        )
    return path.read_bytes()


def _counters(data: bytes) -> dict[str, tuple[int, int, int]]:
    remedy = 'write {"name": [right, wrong, writes]}, or remove the file'
    try:
        plain = json.loads(data)
        return {str(name): (int(a), int(b), int(c)) for name, (a, b, c) in plain.items()}
    except (ValueError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise BadInput(COUNTERS, data[:60], str(error)[:80], remedy=remedy) from None


def _skill(folder: str, files: Mapping[str, bytes], counts: tuple[int, int, int]) -> Skill:
    text, code = (_text(f"{folder}/{file}", files) for file in (TEXT, CODE))
    head, body = _front(f"{folder}/{TEXT}", text)
    if head.get("name", folder) != folder:
        raise BadInput(
            f"{folder}/{TEXT}: name", head["name"], "is not the folder's", remedy="name both alike"
        )
    values = {"name": folder, "description": head.get("description", ""), "instructions": body, "code": code}
    try:
        return Skill(**values, n_succ=counts[0], n_fail=counts[1], writes=counts[2])
    except ValidationError as error:
        first = error.errors()[0]
        field = str(first["loc"][0]) if first["loc"] else "skill"
        place = f"{folder}/{CODE if field == 'code' else COUNTERS if field[:2] == 'n_' else TEXT}"
        raise BadInput(
            f"{place}: {field}", str(first["input"])[:80], first["msg"], remedy="edit it"
        ) from None


def _text(name: str, files: Mapping[str, bytes]) -> str:
    if name not in files:
        raise BadInput(name, "", "is missing", remedy="add the file, or remove the skill's folder")
    try:
        return files[name].decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadInput(name, files[name][:20], str(error), remedy="save it as UTF-8") from None


def _front(name: str, text: str) -> tuple[dict[str, str], str]:
    """Front matter as plain `key: value` lines, and the body."""
    found = FRONT.match(text.replace("\r\n", "\n"))
    if found is None:
        raise BadInput(
            name, text[:40], "has no front matter", remedy="begin with ---, name:, description:, ---"
        )
    head = {}
    for line in filter(str.strip, found["head"].splitlines()):
        key, colon, value = line.partition(":")
        if not colon or key.strip() not in ("name", "description"):
            raise BadInput(
                name, line[:60], "is not `name: ...` or `description: ...`", remedy="one line each"
            )
        head[key.strip()] = value.strip()
    return head, found["body"].strip()
