"""Answering by skills: route the question, run the skill's code in the sandbox, report which one it was.

The policy's part `skills` is the library; its part `router`, if there is one, ranks skills for a question
(BM25 otherwise). The n-th sample of a task begins at the n-th skill of the ranking. A skill that has nothing
to say (it returns None or fails) hands the question on to the next one.

All questions of one skill in a call share one process, each guarded by itself: a skill that misbehaves
costs its own questions and no others, and the attempt says why there is no answer.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pydantic import JsonValue

from sharpen.actors.base import Stage
from sharpen.core.attempt import Attempt, Author, Turn
from sharpen.core.policy import Decoding, Job, Policy
from sharpen.core.records import digest
from sharpen.sandbox.process import Limits, Ran, Status, run_python
from sharpen.stores.routing import PART, open_router, ranked
from sharpen.stores.skills import Library, Skill, read_library

FALLBACK = 2
"""Skills that a question is handed to at most."""
TOGETHER = 100
"""Questions in one process at most."""
MAX_ANSWER = 2_000
LIMITS = Limits(seconds=10.0, output=1_000_000)
HARNESS = """
import io, json, os, signal, sys

def stop(*_):
    raise TimeoutError("took more than a second")

out = os.fdopen(os.dup(1), "w")
questions = json.loads(sys.stdin.read())
sys.stdin, sys.stdout, sys.stderr = io.StringIO(), io.StringIO(), io.StringIO()
signal.signal(signal.SIGPROF, stop)
space = {"__name__": "skill"}
try:
    signal.setitimer(signal.ITIMER_PROF, 1.0)
    with open("skill.py", encoding="utf-8") as source:
        exec(compile(source.read(), "skill.py", "exec"), space)
    broken = ""
except BaseException as error:
    broken = f"{type(error).__name__}: {error}"[:200]
for place, question in enumerate(questions):
    try:
        signal.setitimer(signal.ITIMER_PROF, 1.0)
        if broken:
            raise RuntimeError(broken)
        said = space["solve"](question)
        row = {"i": place, "answer": None if said is None else str(said)[:LIMIT]}
    except BaseException as error:
        row = {"i": place, "error": f"{type(error).__name__}: {error}"[:200]}
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    out.write(json.dumps(row) + "\\n")
    out.flush()
""".replace("LIMIT", str(MAX_ANSWER))


class Said(NamedTuple):
    """What a skill made of a question: an answer, or the reason why there is none."""

    answer: str
    reason: str = ""


ABSTAINED = Said("", "it does not apply")


def open_actor(stage: Stage) -> SkillUser:
    """The actor, on this stage."""
    return SkillUser(stage)


@dataclass(frozen=True)
class SkillUser:
    """Routes and runs; remembers what a program said to a question, as it would say the same again."""

    stage: Stage
    memo: dict[tuple[str, str], Said] = field(default_factory=dict)

    def act(self, policy: Policy, jobs: Sequence[Job], decoding: Decoding) -> list[Attempt]:
        """One attempt per job, in order."""
        library = read_library(policy, self._contents(policy, "skills") or {})
        router = open_router(self._contents(policy, PART))
        orders = ranked(router, library, [job.task.question for job in jobs])
        chosen = [order[job.index : job.index + FALLBACK] for job, order in zip(jobs, orders, strict=True)]
        trails: list[list[tuple[str, Said]]] = [[] for _ in jobs]
        for step in range(FALLBACK):
            waiting: dict[str, list[int]] = defaultdict(list)
            for place, names in enumerate(chosen):
                if step < len(names) and not any(said.answer for _, said in trails[place]):
                    waiting[names[step]].append(place)
            for name, places in sorted(waiting.items()):
                skill = library.get(name)
                assert skill is not None
                answers = self._run(skill, [jobs[place].task.question for place in places])
                for place, said in zip(places, answers, strict=True):
                    trails[place].append((name, said))
        return [_attempt(policy, library, *pair) for pair in zip(jobs, trails, strict=True)]

    def _contents(self, policy: Policy, part: str) -> Mapping[str, bytes] | None:
        if (artifact := policy.parts.get(part)) is None:
            return None
        return {name: self.stage.store.get(sha) for name, sha in artifact.files.items()}

    def _run(self, skill: Skill, questions: Sequence[str]) -> list[Said]:
        program = digest(skill.code)
        new = [q for q in dict.fromkeys(questions) if (program, q) not in self.memo]
        for start in range(0, len(new), TOGETHER):
            part = new[start : start + TOGETHER]
            for question, said in zip(part, run_skill(skill.code, part), strict=True):
                self.memo[program, question] = said
        return [self.memo[program, question] for question in questions]


def run_skill(code: str, questions: Sequence[str]) -> list[Said]:
    """What a skill's code says to each question, run in one isolated process."""
    files = {"skill.py": code.encode(), "run.py": HARNESS.encode()}
    ran = run_python(files, "run.py", stdin=json.dumps(list(questions)), limits=LIMITS)
    found: dict[int, Said] = {}
    for line in ran.stdout.splitlines():
        row = _row(line)
        place = row.get("i")
        if type(place) is int and 0 <= place < len(questions):
            found.setdefault(place, _said(row))
    missing = Said("", _reason(ran))
    return [found.get(place, missing) for place in range(len(questions))]


def _row(line: str) -> Mapping[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return row if isinstance(row, dict) else {}


def _said(row: Mapping[str, Any]) -> Said:
    if "error" in row:
        return Said("", str(row["error"])[:200])
    answer = row.get("answer")
    return Said(answer[:MAX_ANSWER]) if isinstance(answer, str) and answer.strip() else ABSTAINED


def _reason(ran: Ran) -> str:
    if ran.status is Status.OK:
        return "it garbled what it was to report"
    return f"the process ended early: {ran.status} {ran.reason or ran.stderr}".strip()[:200]


def _attempt(policy: Policy, library: Library, job: Job, trail: Sequence[tuple[str, Said]]) -> Attempt:
    """The trail as a trace: what was tried in vain as tool turns, then the answer as the policy's."""
    name, said = trail[-1] if trail else ("", Said("", "there is no further skill"))
    skill = library.get(name)
    vain = [Turn(author=Author.TOOL, text=f"{tried}: {heard.reason}") for tried, heard in trail[:-1]]
    outcome: dict[str, JsonValue] = {
        "skill": name,
        "failed": float(not said.answer),
        "learned": float(bool(skill and skill.writes)),
    }
    if not said.answer:
        outcome["reason"] = said.reason
    return Attempt(
        task=job.task.key,
        index=job.index,
        policy=policy.version,
        turns=(
            Turn(author=Author.TEMPLATE, text=job.task.question),
            *vain,
            Turn(author=Author.POLICY, text=said.answer),
        ),
        round=job.round,
        steps=len(trail),
        outcome=outcome,
    )
