"""A learner's step beside TRL's on the same frozen batch: first that both are equal, then how fast they are.

A step is the loss and its gradients; the optimizer that follows is the same for both. Tokens count once per
example, prompts included, however often either side computes them; the limit is to compute each prompt once.
Memory is what a step adds to a process that holds the model, gradients and all, measured in a process for
each.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from sharpen.bench.frozen import Frozen, frozen
from sharpen.bench.limits import Limits, probe
from sharpen.bench.rows import Peer, Row, compared, rate, row_of

if TYPE_CHECKING:
    from torch import Tensor

    from sharpen.models.hf import HFModel

KINDS = ("SFT", "DPO", "GRPO")
LARGE = 50_000_000
TRL = "TRL"
MIB = 1 << 20
CHILD_SECONDS = 300

Step = Callable[[], float]
"""Adds gradients, returns the loss."""


def run(model: HFModel, *, quick: bool) -> list[Row]:
    """All kinds; without the package trl, ours alone."""
    large = model.parameters > LARGE
    size, repeats = (1, 1) if quick else (1 if large else 4, 3)
    limits = probe(model.module.device)
    rows = []
    for kind in KINDS:
        batch = frozen(model, kind, size=size)
        with tempfile.TemporaryDirectory() as folder:
            rows += _equal(model, batch, Path(folder)) if find_spec("trl") else []
            rows += _timed(model, batch, Path(folder), limits, repeats)
        if not quick:
            rows += _memory(model, kind, size)
    return [*limits.best(probe(model.module.device)).rows(), *rows]


def our_step(model: HFModel, batch: Frozen) -> Step:
    """As training does it."""
    from sharpen.learners.fit import gradients, layout_of

    layout = layout_of(model.head)
    return lambda: gradients(model.head, batch.settings, batch.examples, layout)


def their_step(model: HFModel, batch: Frozen, folder: Path) -> Step:
    """As TRL's trainer does it."""
    from sharpen.bench.trl import loss_of

    loss = loss_of(model, batch, folder)

    def step() -> float:
        value = loss()
        value.backward()  # type: ignore[no-untyped-call]
        return float(value.detach())

    return step


def _equal(model: HFModel, batch: Frozen, folder: Path) -> list[Row]:
    """Loss and gradient of both."""
    import torch

    found = [(step(), _taken(model)) for step in (our_step(model, batch), their_step(model, batch, folder))]
    (ours, own), (theirs, other) = found
    cosine = float(torch.cosine_similarity(own.double(), other.double(), dim=0))
    sizes = float(own.norm()), float(other.norm())
    case = f"{model.name}: {batch.name}"
    return [
        row_of(case, "loss", [ours], [theirs], TRL, note=f"gradients' cosine {cosine:.7f}"),
        row_of(case, "gradient norm", [sizes[0]], [sizes[1]], TRL),
    ]


def _taken(model: HFModel) -> Tensor:
    """All gradients in a row; none are left."""
    import torch

    parameters = list(model.module.parameters())
    grads = [p.grad.flatten() for p in parameters if p.grad is not None]
    whole = torch.cat(grads)
    for parameter in parameters:
        parameter.grad = None
    return whole


def _timed(model: HFModel, batch: Frozen, folder: Path, limits: Limits, repeats: int) -> list[Row]:
    def working(step: Step) -> Callable[[], float]:
        def work() -> float:
            step()
            for parameter in model.module.parameters():
                parameter.grad = None
            return batch.tokens

        return rate(work)

    theirs = [Peer(TRL, working(their_step(model, batch, folder)))] if find_spec("trl") else []
    return compared(
        f"{model.name}: {batch.name}",
        "trained tokens/s",
        working(our_step(model, batch)),
        theirs,
        repeats=repeats,
        limit=limits.train(model) * batch.tokens / batch.distinct,
        note=f"{len(batch.examples)} examples, {batch.tokens} tokens",
    )


def _memory(model: HFModel, kind: str, size: int) -> list[Row]:
    """What a step adds to a process, for both."""
    sides = ["ours", *(["theirs"] if find_spec("trl") else [])]
    found = [_added(model, kind, size, side) for side in sides]
    theirs = [found[1]] if len(found) > 1 else None
    name = TRL if theirs else None
    return [row_of(f"{model.name}: {kind}", "memory of a step, MiB", [found[0]], theirs, name)]


def _added(model: HFModel, kind: str, size: int, side: str) -> float:
    order = [sys.executable, "-m", "sharpen.bench.learner", str(model.folder), kind, str(size), side]
    done = subprocess.run(
        [*order, str(model.threads)], capture_output=True, text=True, timeout=CHILD_SECONDS, check=True
    )
    return float(json.loads(done.stdout.splitlines()[-1]))


def measure(folder: Path, kind: str, size: int, side: str, threads: int) -> float:
    """In a process of its own: MiB that the second step adds at most, with its gradients."""
    from sharpen.models.hf import HFModel

    model = HFModel.open(folder, name=folder.name, threads=threads, device="cpu")
    batch = frozen(model, kind, size=size)
    with tempfile.TemporaryDirectory() as scratch:
        step = our_step(model, batch) if side == "ours" else their_step(model, batch, Path(scratch))
        Path("/proc/self/clear_refs").write_text("5")
        before = _resident("VmRSS")
        step()
        return (_resident("VmHWM") - before) / MIB


def _resident(field: str) -> int:
    """Bytes of memory of this process, now or at most."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (found,) = (line.split()[1] for line in lines if line.startswith(f"{field}:"))
    return int(found) * 1024


if __name__ == "__main__":
    place, asked, times, who, count = sys.argv[1:]
    sys.stdout.write(f"{json.dumps(measure(Path(place), asked, int(times), who, int(count)))}\n")
