"""A training in several processes, one GPU each: started here, watched to its end, its weights taken up.

A training is handed over as a file of plain data and done again from it by every process. If one of them
fails, all end, and the same call goes on from the checkpoints, of which every process writes its own part.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING

from pydantic import JsonValue

from sharpen.core.errors import BadInput, SharpenError
from sharpen.core.records import Record, decode, encode
from sharpen.learners.batch import Batch, Example
from sharpen.learners.training import WEIGHTS_FILE, Carry, Training, TrainReport

if TYPE_CHECKING:
    from sharpen.models.hf import HFModel

_LAST_WORDS = 2000
_MARK = b"sharpen: "
"""Begins a line that is meant for whoever started the process; libraries may say other things."""
_GRACE = 60.0
"""Seconds in which all must end once the first has reported."""


class Order(Record):
    """A training as plain data."""

    folder: str
    """Of the model."""
    name: str
    threads: int
    device: str
    """Kind of device; each process has one of its own."""
    kind: str
    """`module:class` of the settings."""
    settings: str
    """As JSON."""
    examples: tuple[Example, ...]
    start_weights: str | None
    seed: int
    scratch: str
    output: str
    processes: int


def train_together(
    model: HFModel,
    settings: Training,
    batch: Batch,
    *,
    start_weights: Path | None,
    seed: int,
    scratch: Path,
    output: Path,
    progress: Callable[[int, int, float], None],
    should_stop: Callable[[], None],
) -> TrainReport:
    """What `sharpen.learners.training.train` does, in `model.processes` processes.

    BadInput for moments that are to be kept, or for settings of a file of one's own; SharpenError with the
    last words of a process that failed.
    """
    import torch

    order = _order(model, settings, batch, start_weights, seed, scratch, output)
    output.mkdir(parents=True, exist_ok=True)
    device = model.module.device
    # The first process needs the place; torch would keep it for this one otherwise.
    model.module.to("cpu")
    torch.cuda.empty_cache()
    try:
        with tempfile.TemporaryDirectory(prefix="sharpen-gang-") as folder:
            report = _watched(Path(folder), order, progress, should_stop)
    finally:
        model.module.to(device)
    model.load(output / WEIGHTS_FILE)
    return report


def _order(
    model: HFModel,
    settings: Training,
    batch: Batch,
    start_weights: Path | None,
    seed: int,
    scratch: Path,
    output: Path,
) -> Order:
    kind = type(settings)
    if settings.optimizer is Carry.KEEP:
        raise BadInput(
            "optimizer", "keep", "moments that lie in parts are not carried over", remedy="set it to reset"
        )
    if not kind.__module__.startswith("sharpen."):
        raise BadInput(
            "recipe", kind.__module__, "its learner cannot be imported elsewhere", remedy="use one process"
        )
    return Order(
        folder=str(model.folder),
        name=model.name,
        threads=model.threads,
        device=model.module.device.type,
        kind=f"{kind.__module__}:{kind.__qualname__}",
        settings=settings.model_dump_json(),
        examples=batch.examples,
        start_weights=str(start_weights) if start_weights else None,
        seed=seed,
        scratch=str(scratch),
        output=str(output),
        processes=model.processes,
    )


def _watched(
    folder: Path,
    order: Order,
    progress: Callable[[int, int, float], None],
    should_stop: Callable[[], None],
) -> TrainReport:
    """Start all, hear the first one, end all."""
    (folder / "order.json").write_bytes(encode(order))
    command = [sys.executable, "-m", __name__, str(folder)]
    words = [(folder / f"{rank}.txt").open("w+") for rank in range(order.processes)]
    gang = [
        subprocess.Popen([*command, str(rank)], stdout=subprocess.PIPE if rank == 0 else said, stderr=said)
        for rank, said in enumerate(words)
    ]
    try:
        report = _heard(gang[0], progress, should_stop)
        if report is None or any(one.wait(_GRACE) != 0 for one in gang):
            raise SharpenError(
                f"a process of the training failed: {_last_words(words)}",
                remedy="run the same command again: it goes on from the last checkpoint",
            )
        return report
    finally:
        for one in gang:
            one.kill()
            one.wait()
        for said in words:
            said.close()


def _heard(
    first: subprocess.Popen[bytes],
    progress: Callable[[int, int, float], None],
    should_stop: Callable[[], None],
) -> TrainReport | None:
    """What the first process says until its end; None if it ends without a report."""
    assert first.stdout is not None
    for line in first.stdout:
        if not line.startswith(_MARK):
            continue
        said = json.loads(line.removeprefix(_MARK))
        if "report" in said:
            return decode(TrainReport, json.dumps(said["report"]).encode())
        should_stop()
        progress(said["step"], said["total"], said["loss"])
    return None


def _last_words(files: Sequence[IO[str]]) -> str:
    """The last line of what the processes complained of."""
    for file in files:
        file.seek(0)
        lines = [line for line in file.read()[-_LAST_WORDS:].splitlines() if line.strip()]
        if lines:
            return lines[-1].strip()[:300]
    return "without a word"


def settings_of(order: Order) -> Training:
    """The settings; they name a class of this package."""
    module, _, name = order.kind.partition(":")
    kind: type[Training] = getattr(importlib.import_module(module), name)
    return kind.model_validate_json(order.settings)


def take_part(folder: Path, rank: int) -> None:
    """One process's whole work."""
    order = decode(Order, (folder / "order.json").read_bytes())
    settings = settings_of(order)
    import torch

    from sharpen.learners.fit import Fit
    from sharpen.learners.spread import Place, met
    from sharpen.models.hf import HFModel

    place = Place(rank, order.processes)
    device = torch.device(order.device, rank) if order.device == "cuda" else torch.device(order.device)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    # Weights go to their device in parts, so that no device ever has to hold them whole.
    model = HFModel.open(Path(order.folder), name=order.name, threads=order.threads, device="cpu")
    scratch = Path(order.scratch) / f"part-{rank}-of-{order.processes}"
    scratch.mkdir(parents=True, exist_ok=True)
    with met(place, folder / "meeting", device) as among:
        fit = Fit(
            model,
            settings,
            Batch(order.examples),
            Path(order.start_weights) if order.start_weights else None,
            None,
            seed=order.seed,
            scratch=scratch,
            among=among,
        )
        report = fit.run(Path(order.output), _say_progress if rank == 0 else _say_nothing, lambda: None)
    if rank == 0:
        _say({"report": report.model_dump(mode="json")})


def _say_progress(step: int, total: int, loss: float) -> None:
    _say({"step": step, "total": total, "loss": loss})


def _say(what: Mapping[str, JsonValue]) -> None:
    sys.stdout.write(f"{_MARK.decode()}{json.dumps(what)}\n")
    sys.stdout.flush()


def _say_nothing(step: int, total: int, loss: float) -> None:
    pass


if __name__ == "__main__":
    take_part(Path(sys.argv[1]), int(sys.argv[2]))
