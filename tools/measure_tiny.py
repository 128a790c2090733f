"""Measure `tiny` on every level of every family; write levels.json and the table of its model card.

    python tools/measure_tiny.py                    # 200 problems per family and level

The evaluation problems are drawn from a fixed stream; `train_tiny.py` leaves their questions out of training.
"""

from __future__ import annotations

import argparse
import importlib
import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
import transformers
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from sharpen.core.seeds import random_for, seed_for
from sharpen.tasks.base import Problem

FAMILIES = ("chain", "product", "expression", "remainder", "sequence", "equation", "counting", "conversion")
FOLDER = Path(__file__).parents[1] / "src" / "sharpen" / "models" / "tiny"
SAMPLES = 16
SAMPLED_PROBLEMS = 64
MIDDLE = (0.05, 0.8)
"""Greedy accuracies between which sampling is measured too."""
TABLE_MARK = "<!-- written by tools/measure_tiny.py -->\n"


class Cell(NamedTuple):
    """One family at one level."""

    family: str
    level: int


class Accuracy(NamedTuple):
    """Shares of `n` problems solved; `sampled` (mean of 16) and `pass16` (any of 16) at temperature 1."""

    greedy: float
    n: int
    sampled: float | None = None
    pass16: float | None = None


def draw(rng: random.Random, cell: Cell) -> Problem:
    """Draw one problem of a cell."""
    problem: Problem = importlib.import_module(f"sharpen.tasks.{cell.family}").generate(rng, level=cell.level)
    return problem


def cells(families: Sequence[str] = FAMILIES) -> Iterator[Cell]:
    """Every level of every family."""
    for family in families:
        for level in importlib.import_module(f"sharpen.tasks.{family}").LEVELS:
            yield Cell(family, level)


def evaluation_set(n: int = 200) -> dict[Cell, list[Problem]]:
    """Draw `n` different problems per cell; half as many at level 1, which has few to spare."""
    found = {}
    for cell in cells():
        rng = random_for("tiny", "evaluation", *cell)
        drawn = {p.question: p for p in (draw(rng, cell) for _ in range(3 * n))}
        found[cell] = list(drawn.values())[: n // 2 if cell.level == 1 else n]
    return found


@torch.inference_mode()
def respond(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, questions: Sequence[str], *, sample: bool
) -> list[str]:
    """Answer questions greedily, or with one draw at temperature 1."""
    rule: dict[str, Any] = {"do_sample": True, "top_k": 0} if sample else {"do_sample": False}
    answers: list[str] = []
    for first in range(0, len(questions), 256):
        prompts = [f"Q: {question}\nA:" for question in questions[first : first + 256]]
        encoded = tokenizer(prompts, return_tensors="pt", padding=True, return_token_type_ids=False)
        out = model.generate(
            **encoded,
            **rule,
            max_new_tokens=160,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )
        answers += tokenizer.batch_decode(out[:, encoded["input_ids"].shape[1] :], skip_special_tokens=True)
    return answers


def right(response: str, problem: Problem) -> bool:
    """Whether the response ends in the right answer."""
    return response.rpartition("####")[2].strip() == problem.answer


def glance(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, n: int = 12) -> None:
    """Print rough greedy accuracy on the first four levels of every family while training."""
    model.eval()
    easy = sorted((cell for cell in cells() if cell.level <= 4), key=lambda cell: cell.level)
    drawn = [(cell, draw(random_for("tiny", "glance", *cell, i), cell)) for cell in easy for i in range(n)]
    answers = respond(model, tokenizer, [problem.question for _, problem in drawn], sample=False)
    hits = dict.fromkeys(easy, 0)
    for (cell, problem), answer in zip(drawn, answers, strict=True):
        hits[cell] += right(answer, problem)
    for family in FAMILIES:
        shares = "".join(f"{hits[cell] / n:6.0%}" for cell in easy if cell.family == family)
        print(f"  {family:12}{shares}", flush=True)
    model.train()


def measure(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, cell: Cell, problems: Sequence[Problem]
) -> Accuracy:
    """Greedy accuracy, and 16 samples for some problems where it lies in the middle."""
    answers = respond(model, tokenizer, [p.question for p in problems], sample=False)
    greedy = sum(map(right, answers, problems)) / len(problems)
    if not MIDDLE[0] <= greedy <= MIDDLE[1]:
        return Accuracy(greedy, len(problems))
    tried = [problem for problem in problems[:SAMPLED_PROBLEMS] for _ in range(SAMPLES)]
    torch.manual_seed(seed_for("tiny", "samples", *cell) % 2**32)
    answers = respond(model, tokenizer, [p.question for p in tried], sample=True)
    hits = list(map(right, answers, tried))
    solved = [any(hits[i : i + SAMPLES]) for i in range(0, len(hits), SAMPLES)]
    return Accuracy(greedy, len(problems), sum(hits) / len(hits), sum(solved) / len(solved))


def markdown(found: dict[Cell, Accuracy]) -> str:
    """Accuracy in percent as a table: a row per family, a column per level."""
    levels = sorted({cell.level for cell in found})
    rows = ["| family | " + " | ".join(f"level {level}" for level in levels) + " |"]
    rows.append("|---" * (len(levels) + 1) + "|")
    for family in FAMILIES:
        texts = [_percent(found[cell]) for cell in cells([family])]
        rows.append(f"| {family} | " + " | ".join(texts) + " |")
    return "\n".join(rows) + "\n"


def _percent(accuracy: Accuracy) -> str:
    text = f"{100 * accuracy.greedy:.0f}"
    if accuracy.sampled is not None and accuracy.pass16 is not None:
        text += f" ({100 * accuracy.sampled:.0f}, {100 * accuracy.pass16:.0f})"
    return text


def measure_folder(folder: Path, n: int) -> None:
    """Measure the model in a folder and write its levels.json and the table of its card."""
    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    found: dict[Cell, Accuracy] = {}
    for cell, problems in evaluation_set(n).items():
        found[cell] = measure(model, tokenizer, cell, problems)
        print(f"{cell.family:12}{cell.level}  {_percent(found[cell])}", flush=True)
    table: dict[str, dict[str, Any]] = {}
    for cell, accuracy in found.items():
        table.setdefault(cell.family, {})[str(cell.level)] = accuracy._asdict()
    (folder / "levels.json").write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    card = folder / "README.md"
    text = card.read_text(encoding="utf-8").partition(TABLE_MARK)[0]
    card.write_text(text + TABLE_MARK + markdown(found), encoding="utf-8")


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, default=FOLDER, help="model folder; its card must exist")
    parser.add_argument("--problems", type=int, default=200, help="per family and level")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    transformers.utils.logging.disable_progress_bar()
    measure_folder(options.folder, options.problems)


if __name__ == "__main__":
    main()
