"""Write docs/capacity.md: what runs of a 7B and a 70B model need, from the rates in results/performance.

    sharpen bench sampler --json > results/performance/sampler.json      (learner, loop likewise)
    python tools/capacity.py

Measure on the cards themselves where there are some: the page then speaks of them.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path

from sharpen.bench.capacity import (
    Card,
    Job,
    Rates,
    Shape,
    cards_for,
    fewest,
    memory_of,
    plan,
    seconds_of,
    tokens_of,
)
from sharpen.bench.known import CARDS, JOBS, PUBLISHED, SHAPES, rates_of
from sharpen.bench.rows import Row
from sharpen.core.records import decode

ROOT = Path(__file__).resolve().parents[1]
PAGE, MEASURED = ROOT / "docs" / "capacity.md", ROOT / "results" / "performance"
CARD = CARDS["H100"]
DAYS = 7
GB = 1e9
HEAD = """# Capacity: what a 7B and a 70B run need

Written by `tools/capacity.py`; do not edit. For a model, a card and a job of your own:

    sharpen capacity 7B --job 'paper?tasks=128&response=8192' --cards 64
    sharpen capacity '70B?parameters=72e9' --card H200 --job internet --hours 168
    sharpen bench all --model MODEL --json > mine.json;  sharpen capacity 7B --rates mine.json

Nothing below was run at this size. Tokens and memory follow from the job alone. Hours follow from what
cards can do at most and from the share of it that is reached, and that share is taken from elsewhere:
*carried over* is what this package reaches on a CPU core with models of two and 135 million parameters
(`results/performance`), *published* is what others reach on an H100 with engines and kernels of their own.
A GPU of one's own, measured by `sharpen bench`, is worth more than either.
"""
SOURCES = """\
Shapes are those of Qwen2.5-7B and Llama-3.1-70B, cards by their data sheets. *Published*: trained tokens of
prime-rl on one H100 (23.7 % at 16,384 tokens a sequence); decoding at a cautious half, where SGLang's
16,200 tokens/s of an 8B model are more than that. A judge's 0.02 s are those of code in the sandbox;
mathematics takes a tenth.
"""
FORMULAE = """## Formulae

N parameters, L layers of width d, H key heads of size h; P tokens of a prompt, R of a response, G responses
to a prompt, S = P + R; a card's memory M, bandwidth W, bfloat16 operations per second F. The code is
`sharpen.bench.capacity`.

| what | formula |
| --- | --- |
| sampled tokens of a round | tasks x G x R |
| tokens through the learner | tasks x (P + G R) x epochs: a prompt once for all its responses |
| keys and values of a token | k = 2 L H h x 2 bytes |
| state of the learner | 18 N bytes: weights, gradients, two moments in float32; weights in bfloat16 |
| activations of a pass | (2 L + 34) d bytes a token: the input of each layer, and one layer whole |
| cards of the learner | 18 N / (0.9 M - activations), rounded up |
| cards of an engine | the fewest, in powers of two, of which the weights take half |
| responses at a time | what is left, by k S; at most 256 an engine |
| decoding, B rows on n cards, C = P + R/2 | u_d n min(B W / (2 N + B k C), F / (2 N + 4 L d C)) tokens/s |
| reading prompts | u_t F / (2 N + 2 L d P) tokens/s a card |
| training | u_t F / (f (N + L d S)) tokens/s a card; f = 8 + 2 x extra passes, activations computed twice |
| a round | card seconds / cards + core seconds / cores + new weights + driver |
| new weights to the engines | 2 N / (network x cards of an engine) |
| hiding a sharded learner | 8 N bytes a pass and card: gathered twice in bfloat16, summed once in float32 |

Cards sample, judge and train in turns, as a run here does; u_d and u_t are the shares that are reached.
"""


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def inputs(rates: Sequence[Rates]) -> str:
    """What everything is computed from."""
    shapes = [
        (
            s.name,
            f"{s.parameters / GB:.1f} billion",
            str(s.layers),
            str(s.width),
            f"{s.key_heads} x {s.head}",
            f"{s.cache_bytes / 1e3:,.0f} kB",
        )
        for s in SHAPES.values()
    ]
    jobs = [
        (
            j.name,
            f"{j.rounds:,}",
            f"{j.tasks:,}",
            str(j.samples),
            f"{j.prompt:,}",
            f"{j.response:,}",
            str(j.extra),
            f"{j.judge_seconds:g}",
        )
        for j in JOBS.values()
    ]
    reached = [(r.name, f"{r.decode:.1%}", f"{r.train:.1%}", f"{r.driver_ms:.3g}") for r in rates]
    return "\n".join(
        [
            "## Inputs\n",
            table(("model", "N", "L", "d", "H x h", "keys and values of a token"), shapes),
            table(
                ("card", "memory", "bandwidth", "bfloat16", "link", "network", "CPU cores"),
                [card_cells(card) for card in CARDS.values()],
            ),
            table(("job", "rounds", "tasks", "G", "P", "R", "extra passes", "judge, s"), jobs),
            table(("rates", "decoding, u_d", "products, u_t", "driver, ms a response"), reached),
            SOURCES,
        ]
    )


def card_cells(card: Card) -> tuple[str, ...]:
    """A card as a row."""
    return (
        card.name,
        f"{card.memory / GB:,.0f} GB",
        f"{card.bandwidth / 1e12:.3g} TB/s",
        f"{card.flops / 1e12:,.0f} TFLOP/s",
        f"{card.link / GB:,.0f} GB/s",
        f"{card.network / GB:,.0f} GB/s",
        str(card.cores),
    )


def memory(shapes: Iterable[Shape]) -> str:
    """What models need to be held, by job."""
    rows = []
    for shape in shapes:
        for job in JOBS.values():
            held = memory_of(shape, CARD, job)
            rows.append(
                (
                    shape.name,
                    job.name,
                    f"{held.state / GB:,.0f} GB",
                    f"{held.activations / GB:,.0f} GB a card",
                    str(held.learner_cards),
                    str(held.engine_cards),
                    str(held.rows),
                    str(fewest(held)),
                )
            )
    head = (
        "model",
        "job",
        "learner's state",
        "activations",
        "learner's cards",
        "engine's cards",
        "responses at a time",
        "fewest cards",
    )
    return f"## Memory, on {CARD.name}\n\n" + table(head, rows)


def work(job: Job, rates: Sequence[Rates]) -> str:
    """What a job takes."""
    tokens = tokens_of(job)
    rows = []
    for shape in SHAPES.values():
        for reached in rates:
            each = seconds_of(shape, CARD, job, reached)
            least = fewest(memory_of(shape, CARD, job))
            count = cards_for(shape, CARD, job, reached, 24 * DAYS)
            chosen = max(least, count or least)
            done = plan(shape, CARD, job, reached, chosen)
            rows.append(
                (
                    shape.name,
                    reached.name,
                    f"{each.sampling / 3600:,.1f}",
                    f"{each.training / 3600:,.1f}",
                    f"{each.judging / 3600:,.2f}",
                    f"{job.rounds * (each.sampling + each.training) / 3600:,.0f}",
                    f"{chosen:,}" if count else "none",
                    f"{done.hours:,.0f}",
                    f"{done.sync_seconds:.1f} s",
                    f"{done.shard_bandwidth / GB:,.0f} GB/s",
                )
            )
    head = (
        *("model", "rates", "sampling, card hours a round", "training, card hours a round"),
        *("judging, core hours a round", "card hours of the job", f"cards for {DAYS} days", "hours on them"),
        *("new weights, a round", "hides a sharded learner"),
    )
    stored = plan_bytes(job)
    text = (
        f"## {job.name}: {job.rounds:,} rounds of {job.tasks:,} tasks x {job.samples} samples\n\n"
        f"{tokens.sampled:,} tokens sampled and {tokens.trained:,} through the learner in a round; "
        f"{job.rounds * tokens.sampled / GB:,.1f} billion sampled in all, for "
        f"{job.rounds * job.tasks:,} tasks; "
        f"{stored / GB:,.0f} GB in the journal's store.\n\n"
    )
    return text + table(head, rows)


def plan_bytes(job: Job) -> float:
    """What the store grows to."""
    return job.rounds * tokens_of(job).sampled * PUBLISHED.stored_bytes


def page(rates: Sequence[Rates]) -> str:
    """The whole page."""
    parts = [
        HEAD,
        inputs(rates),
        FORMULAE,
        memory(SHAPES.values()),
        *(work(job, rates) for job in JOBS.values()),
    ]
    return "\n".join([*parts, TAIL])


TAIL = """## What this says

- Training costs as much as sampling, or more: eight to ten operations per parameter and token against two
  that are bound by memory. Much longer responses turn that round, since keys and values crowd out rows.
- Neither size is trained on one card: the optimizer alone is more than its memory. A 70B learner does not
  fit a node of eight such cards either. Learners here are spread over the GPUs of one machine (see
  [GPUs](gpu.md)), not over nodes: what is said of the interconnect is what one would need.
- One driver keeps the journal. What it adds per response is serial: no number of cards makes it shorter.
- The interconnect is no obstacle at these sizes: what hides a sharded learner is below the card's network.
"""


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=PAGE)
    options = parser.parse_args()
    options.out.write_text(page([measured(), PUBLISHED]), encoding="utf-8")


def measured() -> Rates:
    """The rates of the files that are kept."""
    rows = [
        row for path in sorted(MEASURED.glob("*.json")) for row in decode(tuple[Row, ...], path.read_bytes())
    ]
    return rates_of(rows, "carried over")


if __name__ == "__main__":
    main()
