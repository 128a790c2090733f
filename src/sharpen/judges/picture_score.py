"""Judging pictures by a learned reward model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from pathlib import Path

from sharpen.actors.painter import IMAGE
from sharpen.core.artifact import Artifact
from sharpen.core.attempt import Attempt
from sharpen.core.task import Task
from sharpen.core.verdict import Error, Scored, Verdict
from sharpen.models.loading import WEIGHTS_FILE


@dataclass(frozen=True)
class PictureJudge:
    """Scores pictures; 0 is the mean of what the reward model learnt from, 1 a standard deviation above."""

    reward: Artifact

    @property
    def fingerprint(self) -> str:
        """Version of the reward model."""
        return self.reward.version

    def judge(self, pairs: Sequence[tuple[Task, Attempt]], read: Callable[[str], bytes]) -> list[Verdict]:
        """One verdict per attempt, in order; an attempt without a readable picture gives an error."""
        import torch

        from sharpen.models.captions import word_ids
        from sharpen.models.painter import as_tensor
        from sharpen.models.picture_score import read_score
        from sharpen.tasks.pictures import pixels_of

        if any(IMAGE not in attempt.files for _, attempt in pairs):
            return [Error(kind="no picture")] * len(pairs)
        with TemporaryDirectory() as folder:
            path = Path(folder) / WEIGHTS_FILE
            path.write_bytes(read(self.reward.files[WEIGHTS_FILE]))
            net = read_score(path)
        pictures = as_tensor([pixels_of(read(attempt.files[IMAGE])) for _, attempt in pairs])
        with torch.no_grad():
            scores = net(pictures, word_ids([task.question for task, _ in pairs]))
        return [Scored(value=value) for value in scores.tolist()]
