"""The same weights sampled by llama.cpp, on the same prompts and lengths.

Needs the packages gguf and xllamacpp. A decoder of the Llama family is written as GGUF in float32. Its keys
and values are cached in float16, as llama.cpp does by itself and is fastest at; in float32 where tokens are
compared. Prompts go over as token ids, and token number n comes back as the text `t` and n, so no tokenizer
takes part.
"""

from __future__ import annotations

import logging
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sharpen.bench.rows import Row
from sharpen.core.errors import Unavailable
from sharpen.core.policy import Decoding
from sharpen.models.base import Prompt

if TYPE_CHECKING:
    from sharpen.models.hf import HFModel

NAME = "llama.cpp, float32 weights"
PACKAGES = ("gguf", "xllamacpp")
FAMILY = "llama"
QUIET = -1
"""Verbosity at which llama.cpp says nothing."""
ROOM = 32
"""Tokens that a slot has beyond its prompt and its row."""
TOKEN = re.compile(r"t(\d+)")
PLAIN: Mapping[str, Any] = {
    "top_k": 0,
    "top_p": 1.0,
    "min_p": 0.0,
    "samplers": ["temperature"],
    "ignore_eos": True,
    "cache_prompt": False,
}
"""Draws from all tokens, to the length that is asked for; no prompt is remembered from an earlier request."""

log = logging.getLogger(__name__)


class Wanted(NamedTuple):
    """One request: a prompt, how many samples of it, and how long each is."""

    prompt: Sequence[int]
    samples: int
    tokens: int

    @property
    def cost(self) -> int:
        """Tokens that go through the model."""
        return len(self.prompt) + self.samples * self.tokens


@contextmanager
def exported(model: HFModel) -> Iterator[Path | None]:
    """A GGUF file of the model while the context lasts; None, and a word to the log, where there is none."""
    if obstacle := _obstacle(model):
        log.info("without llama.cpp: %s", obstacle)
        yield None
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.gguf"
        write_gguf(model, path)
        yield path


def _obstacle(model: HFModel) -> str:
    """Why llama.cpp cannot have these weights; empty if it can."""
    missing = [name for name in PACKAGES if find_spec(name) is None]
    config = model.module.config
    if missing:
        return f"the package {missing[0]} is not installed (pip install 'sharpen[llama-cpp]')"
    if config.model_type != FAMILY:
        return f"models of type {config.model_type} are not written as GGUF here"
    if config.rope_parameters["rope_type"] != "default":
        return "models with scaled positions are not written as GGUF here"
    return ""


def write_gguf(model: HFModel, path: Path) -> None:
    """Write a decoder of the Llama family whose positions are not scaled, in float32."""
    import gguf

    config = model.module.config
    writer = gguf.GGUFWriter(path, FAMILY)
    _describe(writer, config)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    for name, value in model.module.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        array = value.detach().float().cpu().numpy()
        heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
        if count := heads.get(name.split(".")[-2]):
            array = _interleaved(array, count)
        writer.add_tensor(names.get_name(name, (".weight", ".bias")), array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _describe(writer: Any, config: Any) -> None:
    import gguf

    count = config.vocab_size
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_vocab_size(count)
    writer.add_tokenizer_model("llama")
    writer.add_token_list([f"t{number}" for number in range(count)])
    writer.add_token_scores([0.0] * count)
    writer.add_token_types([gguf.TokenType.NORMAL] * count)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_bos_token(False)


def _interleaved(weight: Any, heads: int) -> Any:
    """Rows in the order of GGUF, which turns neighbours where transformers turns halves of a head."""
    halves = weight.reshape(heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:])
    return halves.swapaxes(1, 2).reshape(weight.shape)


class LlamaCpp:
    """A server of llama.cpp in this process, with as many slots as there are rows."""

    name = NAME

    def __init__(
        self,
        path: Path,
        prompts: Sequence[Sequence[int]],
        lengths: Sequence[int],
        *,
        threads: int,
        exact: bool = False,
    ) -> None:
        """lengths: tokens of every row, grouped by prompt, as many rows for each; exact: all in float32."""
        import xllamacpp

        self._wanted, self._rows = requests(prompts, lengths), len(lengths)
        self._useful = sum(lengths)
        params = xllamacpp.CommonParams()
        params.model.path = str(path)
        params.n_parallel = self._rows
        params.n_ctx = self._rows * (max(map(len, prompts)) + max(lengths) + ROOM)
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
        if exact:
            params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
            params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
        params.cache_ram_mib = 0
        params.verbosity = QUIET
        self._server = xllamacpp.Server(params)

    def run(self) -> int:
        """Draw all rows; the number of useful tokens."""
        self.drawn(temperature=1.0)
        return self._useful

    def warm(self) -> None:
        """Whatever is done only once."""
        self._ask(Wanted(self._wanted[0].prompt, 1, 2), temperature=1.0)

    def drawn(self, *, temperature: float) -> list[tuple[int, ...]]:
        """Tokens of every row; all requests are there at once."""
        with ThreadPoolExecutor(len(self._wanted)) as threads:
            found = threads.map(lambda wanted: self._ask(wanted, temperature=temperature), self._wanted)
            return [row for rows in found for row in rows]

    def _ask(self, wanted: Wanted, *, temperature: float) -> list[tuple[int, ...]]:
        asked = {"prompt": list(wanted.prompt), "n": wanted.samples, "n_predict": wanted.tokens}
        told = self._server.handle_completions({**asked, "temperature": temperature, **PLAIN})
        if "choices" not in told:
            raise Unavailable(f"llama.cpp refused: {told}", remedy="measure without the package xllamacpp")
        return [tuple(map(int, TOKEN.findall(choice["text"]))) for choice in told["choices"]]


def requests(prompts: Sequence[Sequence[int]], lengths: Sequence[int]) -> list[Wanted]:
    """A request for each prompt or for each row, whichever puts fewer tokens through the model.

    The samples of one request share their prompt's work, but are all as long as its longest row.
    """
    each = len(lengths) // len(prompts)
    groups = [(prompt, lengths[place * each :][:each]) for place, prompt in enumerate(prompts)]
    shared = [Wanted(prompt, len(tokens), max(tokens)) for prompt, tokens in groups]
    single = [Wanted(prompt, 1, length) for prompt, tokens in groups for length in tokens]
    return min(shared, single, key=lambda wanted: sum(one.cost for one in wanted))


def same_greedy(model: HFModel, path: Path, texts: Sequence[str], steps: int) -> Row:
    """How many prompts get the same greedy tokens from us, as far as ours go, and from llama.cpp."""
    found = model.sample([Prompt(text, (0,)) for text in texts], Decoding(temperature=0, max_tokens=steps))
    ids, lengths = [one.prompt_ids for one in found], [steps] * len(texts)
    server = LlamaCpp(path, ids, lengths, threads=model.threads, exact=True)
    rows = zip(found, server.drawn(temperature=0.0), strict=True)
    same = sum(theirs[: len(ours)] == ours for one, theirs in rows for ours in [one.samples[0].token_ids])
    return Row(
        case=f"greedy tokens, {len(texts)} prompts",
        metric="prompts with equal tokens",
        ours=same,
        peer=len(texts),
        peer_name=NAME,
        ratio=same / len(texts),
    )
