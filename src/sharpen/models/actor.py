"""The actor for tasks that are answered in one go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Protocol

from sharpen.core.artifact import ArtifactStore
from sharpen.core.attempt import Attempt, Author, Turn
from sharpen.core.policy import Decoding, Job, Policy, Style
from sharpen.core.task import Message, Task
from sharpen.core.updater import Stopwatch
from sharpen.models.base import Completion, Model, Prompt

WEIGHTS_FILE = "model.safetensors"


class ChatModel(Protocol):
    """A model that can put messages into its own chat form."""

    def chat(self, messages: Sequence[Message]) -> str:
        """The text a response continues."""


class SingleTurn:
    """Renders each task once, samples its group, and records prompt and response as two turns."""

    def __init__(self, models: Mapping[str, Model], store: ArtifactStore, stopwatch: Stopwatch) -> None:
        """`models` by the names that policies use; `stopwatch` counts the time inside them."""
        self._models = models
        self._store = store
        self._stopwatch = stopwatch

    def act(self, policy: Policy, jobs: Sequence[Job], decoding: Decoding) -> list[Attempt]:
        """One attempt per job, in order."""
        model = self._models[policy.model]
        groups = [list(group) for _, group in groupby(jobs, key=lambda job: (job.task.key, job.prefix))]
        prompts = [
            Prompt(
                text=render(model, policy, group[0].task),
                seeds=tuple(job.seed for job in group),
                prefix=group[0].prefix,
            )
            for group in groups
        ]
        how = decoding._replace(stop=decoding.stop or policy.prompt.stop)
        with self._stopwatch:
            load_policy(model, policy, self._store)
            results = model.sample(prompts, how)
        return [
            _attempt(
                policy,
                job,
                how,
                Turn(author=Author.TEMPLATE, text=prompt.text, token_ids=done.prompt_ids),
                sample,
            )
            for group, prompt, done in zip(groups, prompts, results, strict=True)
            for job, sample in zip(group, done.samples, strict=True)
        ]


def render(model: Model, policy: Policy, task: Task) -> str:
    """The text that a response to the task continues."""
    if policy.prompt.style is Style.PLAIN:
        return policy.prompt.text(task)
    chat: ChatModel = model  # type: ignore[assignment]  # every chat-capable model has it; others raise
    return chat.chat(policy.prompt.messages(task))


def load_policy(model: Model, policy: Policy, store: ArtifactStore) -> None:
    """Make the model hold the policy's weights."""
    weights = policy.weights
    model.load(store.checked_path(weights.files[WEIGHTS_FILE]) if weights else None)


def _template(text: str, token_ids: tuple[int, ...]) -> Turn:
    return Turn(author=Author.TEMPLATE, text=text, token_ids=token_ids)


def _attempt(policy: Policy, job: Job, how: Decoding, prompt: Turn, sample: Completion) -> Attempt:
    response = Turn(
        author=Author.POLICY, text=sample.text, token_ids=sample.token_ids, logprobs=sample.logprobs
    )
    return Attempt(
        task=job.task.key,
        index=job.index,
        policy=policy.version,
        turns=(prompt, response),
        stop=sample.stop,
        round=job.round,
        temperature=how.temperature,
    )
