"""How different the pictures of one caption are: mean distance of pixels, from 0 to 1."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

from sharpen.actors.painter import IMAGE
from sharpen.core.attempt import Attempt
from sharpen.core.task import Task
from sharpen.core.verdict import Error, Scored, Verdict


class PixelSpread:
    """Gives every picture its mean distance from the others of its task; alone it gets an error."""

    fingerprint = "pixel spread 1"

    def judge(self, pairs: Sequence[tuple[Task, Attempt]], read: Callable[[str], bytes]) -> list[Verdict]:
        """One verdict per attempt, in order."""
        import numpy as np

        from sharpen.tasks.pictures import pixels_of

        pictures = [pixels_of(read(attempt.files[IMAGE])).astype(float) / 255 for _, attempt in pairs]
        groups: dict[str, list[int]] = defaultdict(list)
        for number, (task, _) in enumerate(pairs):
            groups[task.key].append(number)
        verdicts: list[Verdict] = []
        for number, (task, _) in enumerate(pairs):
            others = [other for other in groups[task.key] if other != number]
            distances = [float(np.abs(pictures[number] - pictures[other]).mean()) for other in others]
            verdicts.append(
                Scored(value=sum(distances) / len(distances)) if distances else Error(kind="alone")
            )
        return verdicts
