"""Opening a verifier by its spec: `numeric`, `regex?pattern=...`, `./mine.py:judge`."""

from __future__ import annotations

import ast
import importlib.util
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

from sharpen.core import plugins
from sharpen.core.ahead import Begun
from sharpen.core.attempt import Attempt
from sharpen.core.errors import BadInput
from sharpen.core.records import digest, hash_bytes
from sharpen.core.spec import Spec, dials
from sharpen.core.task import Channel, Task
from sharpen.core.verdict import Error, Verdict
from sharpen.executors.pool import JudgePool, Lost, Value
from sharpen.verifiers.base import MAX_RESPONSE, TOO_LONG, Case, Isolation
from sharpen.verifiers.calls import (
    Description,
    Extraction,
    Judgement,
    Source,
    describe,
    extract_one,
    judge_one,
)
from sharpen.verifiers.check import check_cases

PACKAGE = "sharpen.verifiers"
PARTS = ("sharpen.verifiers.", "sharpen.tasks.")
DEADLINE = 10.0
"""Seconds a verifier may take for one response in a worker process."""

A = TypeVar("A")
R = TypeVar("R")


@dataclass(frozen=True)
class OpenVerifier:
    """A verifier that has passed its own cases, bound to its options and to a pool."""

    name: str
    fingerprint: str
    channel: Channel
    isolation: Isolation
    cases: tuple[Case, ...]
    deadline: float
    judging: Source
    extracting: Source | None
    """None where attempts have no answer that could be voted on."""
    pool: JudgePool
    sees_attempt: bool = False

    def judge(self, pairs: Sequence[tuple[Task, Attempt]], read: Callable[[str], bytes]) -> list[Verdict]:
        """One verdict per (task, attempt), in order; `read` gives the bytes of an attempt's files."""
        return self._judged(self._calls(pairs, read))

    def begin(
        self, pairs: Sequence[tuple[Task, Attempt]], read: Callable[[str], bytes]
    ) -> Begun[Verdict] | None:
        """Begin to judge in the pool; None where nothing is judged there."""
        if self.isolation is Isolation.INLINE:
            return None
        calls = self._calls(pairs, read)
        begun = self.pool.begin(judge_one, [call for call in calls if call], deadline=self.deadline)
        return Begun(lambda: _verdicts(calls, begun.results()), begun.drop)

    def judge_texts(self, pairs: Sequence[tuple[Task, str]]) -> list[Verdict]:
        """One verdict per (task, response), in order; responses over the limit are rejected unread."""
        return self._judged([self._call(task, text) for task, text in pairs])

    def _call(self, task: Task, text: str) -> Judgement | None:
        return Judgement(self.judging, (text, task)) if len(text) <= MAX_RESPONSE else None

    def _calls(
        self, pairs: Sequence[tuple[Task, Attempt]], read: Callable[[str], bytes]
    ) -> list[Judgement | None]:
        """What is asked of the verifier's function for each; None for what is too long to be read."""
        if not self.sees_attempt:
            return [self._call(task, attempt.response) for task, attempt in pairs]
        return [
            Judgement(self.judging, (attempt, task, {name: read(sha) for name, sha in attempt.files.items()}))
            for task, attempt in pairs
        ]

    def _judged(self, calls: Sequence[Judgement | None]) -> list[Verdict]:
        return _verdicts(calls, self._run(judge_one, [call for call in calls if call]))

    @property
    def extracts(self) -> bool:
        """Whether it can find answers, so that a majority of several attempts means something."""
        return self.extracting is not None

    def extract(self, response: str) -> str | None:
        """The canonical answer in a response; None if there is none or finding it failed."""
        return self.extract_many([response])[0]

    def extract_many(self, responses: Sequence[str]) -> list[str | None]:
        """The canonical answer of every response, in order."""
        if self.extracting is None:
            return [None] * len(responses)
        calls = [Extraction(self.extracting, text[-MAX_RESPONSE:]) for text in responses]
        return [done.value if isinstance(done, Value) else None for done in self._run(extract_one, calls)]

    def _run(self, function: Callable[[A], R], calls: Sequence[A]) -> list[Value[R] | Lost]:
        if self.isolation is Isolation.INLINE:
            return [Value(function(call)) for call in calls]
        return self.pool.map(function, calls, deadline=self.deadline) if calls else []


def _verdicts(calls: Sequence[Judgement | None], done: Sequence[Value[Verdict] | Lost]) -> list[Verdict]:
    found = iter(done)
    return [_verdict(next(found)) if call else TOO_LONG for call in calls]


def _verdict(done: Value[Verdict] | Lost) -> Verdict:
    if isinstance(done, Lost):
        return Error(kind=done.loss.value, detail=done.detail)
    return done.value


def verifier_names() -> dict[str, str]:
    """Every verifier with its one-line summary; imports none."""
    return plugins.names(PACKAGE, defines="verify")


def open_verifier(
    spec: str, *, pool: JudgePool, deadline: float | None = None, option: str = "--verifier"
) -> OpenVerifier:
    """Open a verifier and let it prove itself on its own cases, once per pool.

    BadInput if there is no such verifier or option, or if it fails a case; `option` is the one that named it.
    """
    verifier = open_unproven(spec, pool=pool, deadline=deadline)
    if verifier.fingerprint not in pool.proven:
        check_cases(verifier).require(option)
        pool.proven.add(verifier.fingerprint)
    return verifier


def open_unproven(spec: str, *, pool: JudgePool, deadline: float | None = None) -> OpenVerifier:
    """Open a verifier without running its cases, for the check that runs them."""
    parsed = Spec.parse(spec, kind="verifier")
    if parsed.name.endswith(".py") or ".py:" in parsed.name:
        return _open_users(parsed, pool, deadline)
    return _open_own(parsed, pool, deadline)


def _open_own(spec: Spec, pool: JudgePool, deadline: float | None) -> OpenVerifier:
    module: Any = plugins.load(PACKAGE, spec.name, kind="verifier", defines="verify")
    options = tuple(sorted(spec.bind(dials(module.verify), kind="verifier").items()))
    if module.ISOLATION is Isolation.PROCESS:
        # A worker that has to be started anew in the middle of a batch then finds everything there.
        _preload(pool, *getattr(module, "PRELOAD", ()), module.__name__)
    sources: dict[str, str] = {}
    _collect_sources(module.__name__, sources)
    packages = [f"{name} {version(name)}" for name in getattr(module, "PACKAGES", ())]
    extract = getattr(module, "extract", None)
    taken = dials(extract) if extract else {}
    judging = Source(module.__name__, "verify", options, sources[module.__name__])
    own_options = tuple(option for option in options if option[0] in taken)
    return OpenVerifier(
        name=str(spec),
        fingerprint=digest([spec.name, options, sources, packages])[:16],
        channel=getattr(module, "CHANNEL", Channel.LABEL),
        isolation=module.ISOLATION,
        cases=module.CASES,
        deadline=getattr(module, "DEADLINE", DEADLINE) if deadline is None else deadline,
        judging=judging,
        extracting=judging._replace(options=own_options) if extract else None,
        pool=pool,
        sees_attempt=next(iter(typing.get_type_hints(module.verify).values())) is Attempt,
    )


def _preload(pool: JudgePool, *modules: str) -> None:
    pool.preload += [name for name in (judge_one.__module__, *modules) if name not in pool.preload]


def _collect_sources(name: str, found: dict[str, str]) -> None:
    """Hashes of a module's file and of all it imports from the parts that verifiers are made of."""
    spec = importlib.util.find_spec(name)
    if name in found or spec is None or spec.origin is None:
        return
    data = Path(spec.origin).read_bytes()
    found[name] = hash_bytes(data)
    for node in ast.walk(ast.parse(data)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(PARTS):
            _collect_sources(str(node.module), found)


def _open_users(spec: Spec, pool: JudgePool, deadline: float | None) -> OpenVerifier:
    written, _, function = spec.name.partition(".py:")
    path = Path(written.removesuffix(".py") + ".py").resolve()
    if not path.is_file():
        raise BadInput("verifier", spec.name, "there is no such file", remedy="check the path")
    if spec.options:
        raise BadInput("verifier", str(spec), "a file of yours takes no options", remedy="write them into it")
    code = hash_bytes(path.read_bytes())
    judging = Source(str(path), function or "verify", (), code)
    _preload(pool)
    holds = _look_into(judging, pool, deadline)
    own_extract = Source(f"{PACKAGE}.exact", "verify", (), code)
    return OpenVerifier(
        name=str(spec),
        fingerprint=digest([judging.function, code])[:16],
        channel=Channel.LABEL,
        isolation=Isolation.PROCESS,
        cases=holds.cases,
        deadline=deadline or DEADLINE,
        judging=judging,
        extracting=judging if holds.has_extract else own_extract,
        pool=pool,
    )


def _look_into(source: Source, pool: JudgePool, deadline: float | None) -> Description:
    [found] = pool.map(describe, [source], deadline=deadline or DEADLINE)
    if isinstance(found, Lost):
        why = found.detail or found.loss.value
        raise BadInput("verifier", source.module, f"loading it failed: {why}", remedy="mend the file")
    if not found.value.has_function:
        raise BadInput(
            "verifier",
            f"{source.module}:{source.function}",
            "there is no such function in the file",
            remedy="define (response: str, task: Task) -> bool | float | Verdict, or name another function",
        )
    return found.value
