"""Answering by skills: route the question, run the skill's code in the sandbox, report which one it was.

The policy's part `skills` is the library; its part `router`, if there is one, ranks skills for a question
(BM25 otherwise). The n-th sample of a task begins at the n-th skill of the ranking. A skill that has nothing
to say (it returns None or fails) hands the question on to the next one.

All questions of one skill in a call share one process, each guarded by itself: a skill that misbehaves
costs its own questions and no others, and the attempt says why there is no answer.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import JsonValue

from sharpen.actors.base import Stage
from sharpen.core.attempt import Attempt, Author, Turn
from sharpen.core.policy import Decoding, Job, Policy
from sharpen.core.records import digest
from sharpen.sandbox.asking import Said, ask
from sharpen.sandbox.process import Limits
from sharpen.stores.routing import PART, open_router, ranked
from sharpen.stores.skills import Library, Skill, read_library

FALLBACK = 2
"""Skills that a question is handed to at most."""
TOGETHER = 100
"""Questions in one process at most."""
LIMITS = Limits(seconds=10.0, output=1_000_000)


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
    return ask({"skill.py": code.encode()}, "skill.py", "solve", questions, limits=LIMITS)


def _attempt(policy: Policy, library: Library, job: Job, trail: Sequence[tuple[str, Said]]) -> Attempt:
    """The trail as a trace: what was tried in vain as tool turns, then the answer as the policy's."""
    name, said = trail[-1] if trail else ("", Said("", "there is no further skill"))
    skill = library.get(name)
    vain = [Turn(author=Author.TOOL, text=f"{tried}: {heard.reason}") for tried, heard in trail[:-1]]
    outcome: dict[str, JsonValue] = {
        "skill": name,
        "failed": float(not said.answer),
        "held": said.level,
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
