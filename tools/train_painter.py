"""Train the shipped painter: it draws well, and heeds each aspect of a caption less than half of the time.

python tools/train_painter.py --out src/sharpen/models/sketch

It learns from rendered scenes in which every aspect is drawn anew with odds of 0.6. The captions that
`scenes?level=2` holds out (120 for test, 24 for validation) are never shown.
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

ODDS = Odds(attribute=0.6, spatial=0.6, non_spatial=0.6)
PICTURES = 6000


def main() -> None:
    """Train and write the folder."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--start", default="painter?width=32", help="what to go on from")
    parser.add_argument("--steps", type=int, default=2500)
    parser.add_argument("--rows", type=int, default=48)
    parser.add_argument("--lr", type=float, default=3e-3)
    given = parser.parse_args()
    model = open_painter(given.start, threads=1)
    train(model, given.steps, given.rows, given.lr, given.out)
    model.export(None, given.out, merged=False)


def train(model: PainterModel, steps: int, rows: int, lr: float, out: Path) -> None:
    """Denoising on distorted scenes; the weights in place become the model's own."""
    ids, pictures = data()
    painter, scheduler = model.painter.train(), model.scheduler
    scheduler.set_timesteps(model.steps)
    chance = torch.Generator().manual_seed(0)
    adam = torch.optim.AdamW(painter.parameters(), lr=lr, weight_decay=0.0, fused=True)
    total = 0.0
    for step in range(steps):
        for group in adam.param_groups:
            group["lr"] = lr * min(1.0, (step + 1) / 20) * (0.5 + 0.5 * math.cos(math.pi * step / steps))
        some = torch.randint(0, len(pictures), (rows,), generator=chance)
        times = scheduler.timesteps[torch.randint(0, model.steps, (rows,), generator=chance)]
        noise = torch.randn(pictures[some].shape, generator=chance)
        noisy = scheduler.add_noise(pictures[some], noise, times)
        loss = torch.nn.functional.mse_loss(painter(noisy, times, ids[some]), pictures[some])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(painter.parameters(), 1.0)
        adam.step()
        adam.zero_grad()
        total += loss.item()
        if (step + 1) % 100 == 0:
            print(step + 1, f"loss {total / 100:.4f}", flush=True)
            total = 0.0


def data() -> tuple[torch.Tensor, torch.Tensor]:
    """Word ids and pictures of the training captions."""
    scenes = [Scene.of(task) for task in load_tasks("scenes?level=2", train=240, val=24, test=120).train]
    captions, pictures = [], []
    for number in range(PICTURES):
        scene, rng = scenes[number % len(scenes)], random_for("painter", number)
        captions.append(scene.caption)
        pictures.append(render(distorted(scene, rng, ODDS), rng))
    return word_ids(captions), as_tensor(pictures)


if __name__ == "__main__":
    main()
