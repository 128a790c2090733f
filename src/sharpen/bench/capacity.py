"""What a run of a large model needs: tokens, cards, hours, memory and interconnect, from measured rates.

Nothing is simulated: every figure is one of the formulae below, as in `docs/capacity.md`. With N
parameters, L layers of width d, H heads of keys of size h, P tokens of a prompt, R of a response, G responses
to a prompt, S = P + R, and a card's memory M, bandwidth W and bfloat16 operations per second F:

    keys and values of a token     k = 2 L H h * 2 bytes
    state of the learner           18 N bytes: weights, gradients, two moments in float32, weights in bfloat16
    activations                    (2 L + 34) d bytes a token: a layer's input each, and one layer whole
    decoding, B rows on n cards    u_d min(n B W / (2 N + B k (P + R / 2)), n F / (2 N + 4 L d (P + R / 2)))
    prompts                        u_t F / (2 N + 2 L d P) a card
    training                       u_t F / (f (N + L d S)) a card,  f = 6 + 2 recomputed + 2 extra passes

u_d and u_t are the shares of those limits that are reached: what is measured, and all that is.
"""

from __future__ import annotations

from math import ceil, inf
from typing import Annotated, NamedTuple

from pydantic import Field

from sharpen.core.errors import BadInput
from sharpen.core.records import Record

STATE_BYTES = 18
"""Of the learner, per parameter."""
SHORT_BYTES = 2
"""Of a bfloat16 number."""
LAYER_BYTES = 34
"""Activations that a layer keeps for its gradient, per token and unit of width (arXiv 2205.05198)."""
USABLE = 0.9
"""Share of a card's memory that may be planned with."""
ENGINE_SHARE = 0.5
"""Most of an engine's memory that its weights may take; the rest is for keys and values."""
MOST_CARDS = 1 << 20
"""Beyond this a wish is not met by more of them."""
GATHERED_BYTES = 8
"""Per parameter and pass of a sharded learner: gathered twice in bfloat16, gradients summed in float32."""


Size = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(gt=0, le=1)]
Cost = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Shape(Record):
    """A decoder."""

    name: str
    parameters: Size
    layers: int = Field(ge=1)
    width: int = Field(ge=1)
    key_heads: int = Field(ge=1)
    head: int = Field(ge=1)
    """Size of a head."""

    @property
    def cache_bytes(self) -> int:
        """Keys and values of one token."""
        return 2 * self.layers * self.key_heads * self.head * SHORT_BYTES


class Card(Record):
    """One GPU, and how it is linked to others; bytes and operations per second."""

    name: str
    memory: Size
    bandwidth: Size
    flops: Size
    """Dense products in bfloat16."""
    link: Size
    """To the cards of its node, in one direction."""
    network: Size
    """To other nodes, in one direction."""
    cores: int = Field(ge=1)
    """CPU cores beside each card."""


class Job(Record):
    """What a run does."""

    name: str
    rounds: int = Field(ge=1)
    tasks: int = Field(ge=1)
    """Of a round."""
    samples: int = Field(ge=1)
    """Responses to each."""
    prompt: int = Field(ge=1)
    """Tokens."""
    response: int = Field(ge=1)
    """Tokens on average."""
    epochs: int = Field(default=1, ge=0)
    """How often a round's responses are trained on."""
    extra: int = Field(default=1, ge=0)
    """Further forward passes for each, such as those of the old policy and of a reference."""
    judge_seconds: Cost = 0.02
    """Of one core, for each response."""
    rows: int = Field(default=256, ge=1)
    """Most responses that one engine has in hand."""
    micro_tokens: int = Field(default=16_384, ge=1)
    """Tokens in one pass of a card."""


class Rates(Record):
    """Shares of the limits that are reached, and what the loop adds."""

    name: str
    decode: Share
    """u_d."""
    train: Share
    """u_t."""
    driver_ms: Cost
    """Of the loop itself, per response."""
    stored_bytes: Cost = 50.0
    """In the journal's store, per sampled token."""


class Tokens(NamedTuple):
    """Of one round."""

    sampled: int
    prefilled: int
    """Prompts, read once for all their responses."""
    trained: int
    """Through forward and backward pass, a prompt once for all its responses."""


class Memory(NamedTuple):
    """Bytes, and the fewest cards that hold them."""

    state: float
    activations: float
    learner_cards: int
    engine_cards: int
    """A power of two."""
    rows: int
    """Responses that one engine has in hand: as many as are asked for or as its memory holds."""


class Seconds(NamedTuple):
    """Of one round: work by what does it."""

    sampling: float
    """Card seconds, of prompts and responses."""
    training: float
    """Card seconds."""
    judging: float
    """Core seconds."""
    driver: float
    """Of the one process that keeps the journal."""


class Plan(NamedTuple):
    """A job on so many cards."""

    cards: int
    round_seconds: float
    hours: float
    card_hours: float
    """Of the whole job, busy or not."""
    sync_seconds: float
    """Of a round: the new weights to the engines, between nodes."""
    shard_bandwidth: float
    """Bytes per second and card that hide what a sharded learner sends behind its products."""
    stored_bytes: float


def tokens_of(job: Job) -> Tokens:
    """Of one round."""
    sampled = job.tasks * job.samples * job.response
    prefilled = job.tasks * job.prompt
    return Tokens(sampled, prefilled, (sampled + prefilled) * job.epochs)


def memory_of(shape: Shape, card: Card, job: Job) -> Memory:
    """What learner and engine hold; BadInput where one card cannot hold the activations of one pass."""
    room = USABLE * card.memory
    state = STATE_BYTES * shape.parameters
    activations = (2 * shape.layers + LAYER_BYTES) * shape.width * job.micro_tokens
    if activations >= room:
        raise BadInput(
            "micro_tokens", job.micro_tokens, f"take {activations / 1e9:.0f} GB on a card", remedy="lower it"
        )
    weights = SHORT_BYTES * shape.parameters
    engine = 1
    while weights > ENGINE_SHARE * room * engine:
        engine *= 2
    held = int((room * engine - weights) / ((job.prompt + job.response) * shape.cache_bytes))
    if held < 1:
        raise BadInput("response", job.response, "does not fit an engine once", remedy="shorten it")
    return Memory(state, activations, ceil(state / (room - activations)), engine, min(job.rows, held))


def decode_limit(shape: Shape, card: Card, *, cards: int, rows: int, context: float) -> float:
    """Most tokens per second of so many rows with so long a context on average."""
    moved = SHORT_BYTES * shape.parameters + rows * context * shape.cache_bytes
    counted = 2 * shape.parameters + 4 * shape.layers * shape.width * context
    return cards * min(rows * card.bandwidth / moved, card.flops / counted)


def prefill_limit(shape: Shape, card: Card, length: float) -> float:
    """Most prompt tokens per second of a card."""
    return card.flops / (2 * shape.parameters + 2 * shape.layers * shape.width * length)


def train_limit(shape: Shape, card: Card, job: Job) -> float:
    """Most tokens per second of a card through all passes, with activations computed twice."""
    passes = 6 + 2 + 2 * job.extra
    context = shape.layers * shape.width * (job.prompt + job.response)
    return card.flops / (passes * (shape.parameters + context))


def seconds_of(shape: Shape, card: Card, job: Job, rates: Rates) -> Seconds:
    """Work of one round."""
    tokens, memory = tokens_of(job), memory_of(shape, card, job)
    responses = job.tasks * job.samples
    best = decode_limit(
        shape, card, cards=memory.engine_cards, rows=memory.rows, context=job.prompt + job.response / 2
    )
    decoding = tokens.sampled * memory.engine_cards / (rates.decode * best)
    reading = tokens.prefilled / (rates.train * prefill_limit(shape, card, job.prompt))
    return Seconds(
        sampling=decoding + reading,
        training=tokens.trained / (rates.train * train_limit(shape, card, job)),
        judging=responses * job.judge_seconds,
        driver=responses * rates.driver_ms / 1000,
    )


def plan(shape: Shape, card: Card, job: Job, rates: Rates, cards: int) -> Plan:
    """The job on so many cards, which sample, judge and train in turns; BadInput for too few."""
    memory, work = memory_of(shape, card, job), seconds_of(shape, card, job, rates)
    least = fewest(memory)
    if cards < least:
        raise BadInput("cards", cards, f"do not hold {shape.name}", remedy=f"take {least} or more")
    engines = cards // memory.engine_cards
    sync = SHORT_BYTES * shape.parameters / (memory.engine_cards * card.network) if engines > 1 else 0.0
    idle = cards / (engines * memory.engine_cards)
    spread = (work.sampling * idle + work.training) / cards + work.judging / (cards * card.cores)
    round_seconds = spread + sync + work.driver
    hours = job.rounds * round_seconds / 3600
    one_pass = job.micro_tokens / (rates.train * train_limit(shape, card, job))
    return Plan(
        cards=cards,
        round_seconds=round_seconds,
        hours=hours,
        card_hours=hours * cards,
        sync_seconds=sync,
        shard_bandwidth=GATHERED_BYTES * shape.parameters / one_pass,
        stored_bytes=job.rounds * tokens_of(job).sampled * rates.stored_bytes,
    )


def fewest(memory: Memory) -> int:
    """Cards that hold learner and engine in turns: whole engines only."""
    return max(memory.engine_cards, memory.learner_cards)


def cards_for(shape: Shape, card: Card, job: Job, rates: Rates, hours: float) -> int | None:
    """The fewest cards that do the job within so many hours; None where a million are too few.

    BadInput for hours that are none.
    """
    if not 0 < hours < inf:
        raise BadInput("hours", hours, "is no time", remedy="give a positive number")
    memory = memory_of(shape, card, job)
    step = memory.engine_cards
    low = ceil(fewest(memory) / step)
    high = max(low, MOST_CARDS // step)
    if plan(shape, card, job, rates, low * step).hours <= hours:
        return low * step
    if plan(shape, card, job, rates, high * step).hours > hours:
        return None
    while low < high:
        middle = (low + high) // 2
        if plan(shape, card, job, rates, middle * step).hours <= hours:
            high = middle
        else:
            low = middle + 1
    return high * step
