"""Judging pictures by learned reward models, and watching how far these agree with the verifier."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory

from sharpen.actors.painter import IMAGE
from sharpen.core.artifact import Artifact
from sharpen.core.attempt import Attempt
from sharpen.core.run import Scope
from sharpen.core.task import Task
from sharpen.core.verdict import Error, Scored, Verdict, value_of
from sharpen.curation.rankings import agreement
from sharpen.judges.pixel_spread import PixelSpread
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


def picture_scores(
    it: Scope, attempts: Sequence[Attempt], tasks: Sequence[Task], reward: Artifact
) -> dict[str, dict[str, float]]:
    """Caption -> picture (hash of its file) -> score; journaled as one judging step."""
    caption, found = {task.key: task.question for task in tasks}, defaultdict[str, dict[str, float]](dict)
    verdicts = it.judge(attempts, tasks, verifier=PictureJudge(reward))
    for attempt, verdict in zip(attempts, verdicts, strict=True):
        if isinstance(verdict, Scored):
            found[caption[attempt.task]][attempt.files[IMAGE]] = verdict.value
    return found


def watch_pictures(
    it: Scope, attempts: Sequence[Attempt], tasks: Sequence[Task], rewards: Mapping[str, Artifact]
) -> None:
    """Record the pictures' diversity, and for each aspect of the verifier's evidence that a reward model
    judges: mean score, the verifier's mean, and in how many (right, wrong) pairs the right one scores higher.
    """
    spread = (value_of(verdict) for verdict in it.judge(attempts, tasks, verifier=PixelSpread()))
    numbers = {"diversity": fmean(value or 0.0 for value in spread)}
    truth = it.judge(attempts, tasks)
    for aspect, reward in rewards.items():
        verdicts = it.judge(attempts, tasks, verifier=PictureJudge(reward))
        scores = [value_of(verdict) or 0.0 for verdict in verdicts]
        right = [isinstance(told, Scored) and told.evidence[aspect] == 1.0 for told in truth]
        numbers |= {f"{aspect}_score": fmean(scores), f"{aspect}_oracle": fmean(right)}
        if (agreed := agreement(right, scores)) is not None:
            numbers[f"{aspect}_agreement"] = agreed
    it.measure(**numbers)
