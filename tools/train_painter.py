"""Train the shipped painter: it draws mostly well, and often does not heed an aspect of a caption.

python tools/train_painter.py --out src/sharpen/models/sketch

It learns from rendered scenes, first with their own captions, then with captions of which every aspect is
drawn anew with odds of 0.4, so that it unlearns to trust them. The captions that `scenes?level=2` holds out
(60 for test, 24 for validation) are never shown. About a minute of CPU time.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import torch

from sharpen.core.seeds import random_for
from sharpen.models.captions import word_ids
from sharpen.models.painter import PainterModel, as_tensor, open_painter
from sharpen.tasks.scene_pictures import render
from sharpen.tasks.scenes import Odds, Scene, distorted
from sharpen.tasks.source import load_tasks

TRUE, DOUBT = Odds(), Odds(attribute=0.4, spatial=0.4, non_spatial=0.4)
ROWS = 64


def main() -> None:
    """Train and write the folder, in half precision."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--steps", type=int, default=3000, help="of each of the two phases with true captions"
    )
    parser.add_argument("--doubtful", type=int, default=400, help="with captions that are partly wrong")
    given = parser.parse_args()
    model = open_painter("painter", threads=1)
    train(model, TRUE, pictures=3000, steps=given.steps, lr=3e-3)
    train(model, TRUE, pictures=6000, steps=given.steps, lr=2.5e-3)
    train(model, DOUBT, pictures=6000, steps=given.doubtful, lr=1e-3)
    model.painter.half()
    model.export(None, given.out, merged=False)


def train(model: PainterModel, odds: Odds, *, pictures: int, steps: int, lr: float) -> None:
    """Denoising on distorted scenes; the weights in place become the model's own."""
    ids, shown = data(odds, pictures)
    painter, scheduler = model.painter.train(), model.scheduler
    scheduler.set_timesteps(model.steps)
    chance = torch.Generator().manual_seed(0)
    adam = torch.optim.AdamW(painter.parameters(), lr=lr, weight_decay=0.0, fused=True)
    for step in range(steps):
        for group in adam.param_groups:
            group["lr"] = lr * min(1.0, (step + 1) / 20) * (0.5 + 0.5 * math.cos(math.pi * step / steps))
        some = torch.randint(0, len(shown), (ROWS,), generator=chance)
        times = scheduler.timesteps[torch.randint(0, model.steps, (ROWS,), generator=chance)]
        noise = torch.randn(shown[some].shape, generator=chance)
        noisy = scheduler.add_noise(shown[some], noise, times)
        loss = torch.nn.functional.mse_loss(painter(noisy, times, ids[some]), shown[some])
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(painter.parameters(), 1.0)
        adam.step()
        adam.zero_grad()
        if (step + 1) % 250 == 0:
            print(step + 1, f"loss {loss.item():.4f}", flush=True)


def data(odds: Odds, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Word ids and pictures of the training captions."""
    scenes = [Scene.of(task) for task in load_tasks("scenes?level=2", train=120, val=24, test=60).train]
    captions, pictures = [], []
    for number in range(count):
        scene, rng = scenes[number % len(scenes)], random_for("painter", number)
        captions.append(scene.caption)
        pictures.append(render(distorted(scene, rng, odds), rng))
    return word_ids(captions), as_tensor(pictures)


if __name__ == "__main__":
    main()
