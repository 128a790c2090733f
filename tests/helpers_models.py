"""Tiny random models of several families in ordinary Hugging Face folders, with a character tokenizer."""

from __future__ import annotations

import string
from collections.abc import Callable
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import (
    AutoModelForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    MistralConfig,
    PretrainedConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
)

from sharpen.core.artifact import ArtifactStore
from sharpen.core.updater import Stopwatch, Workbench
from sharpen.models.hf import HFModel

SPECIAL = ["<pad>", "<bos>", "<eos>", "<unk>"]
CHARACTERS = ["\n", *string.printable[:95]]
FAMILIES = ("llama", "llama-untied", "qwen2", "gemma3", "mistral")
CHAT = "{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}[assistant] "


def character_tokenizer() -> PreTrainedTokenizerFast:
    vocabulary = {token: index for index, token in enumerate(SPECIAL + CHARACTERS)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("[\\s\\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<eos>",
        unk_token="<unk>",
        chat_template=CHAT,
    )


def config_of(
    family: str, *, hidden: int, layers: int, ffn: int, heads: int, key_heads: int
) -> PretrainedConfig:
    common = {
        "vocab_size": len(SPECIAL) + len(CHARACTERS),
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "intermediate_size": ffn,
        "num_attention_heads": heads,
        "num_key_value_heads": key_heads,
        "head_dim": hidden // heads,
        "max_position_embeddings": 512,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    match family:
        case "llama":
            return LlamaConfig(**common, tie_word_embeddings=True)
        case "llama-untied":
            return LlamaConfig(**common, tie_word_embeddings=False)
        case "qwen2":
            return Qwen2Config(**common)
        case "qwen3":
            return Qwen3Config(**common)
        case "gemma3":
            types = ["sliding_attention", "full_attention"] * layers
            return Gemma3TextConfig(**common, sliding_window=12, layer_types=types[:layers])
        case "mistral":
            return MistralConfig(**common, sliding_window=12)
    raise ValueError(family)


def make_model_folder(
    root: Path,
    family: str = "llama",
    *,
    hidden: int = 32,
    layers: int = 2,
    ffn: int = 64,
    heads: int = 4,
    key_heads: int = 2,
    seed: int = 0,
) -> Path:
    """Write a random model with lively logits; equal arguments give equal folders."""
    folder = root / f"{family}-{hidden}-{seed}"
    if folder.exists():
        return folder
    config = config_of(family, hidden=hidden, layers=layers, ffn=ffn, heads=heads, key_heads=key_heads)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        module = AutoModelForCausalLM.from_config(config)
        for name, parameter in module.named_parameters():
            if parameter.ndim > 1:
                torch.nn.init.normal_(parameter, std=0.3 if "embed" in name or "lm_head" in name else 0.15)
    module.save_pretrained(str(folder))
    character_tokenizer().save_pretrained(str(folder))
    return folder


def make_model(root: Path, family: str = "llama", **settings: int) -> HFModel:
    """Open a random model on one thread."""
    folder = make_model_folder(root, family, **settings)
    return HFModel.open(folder, name=family, threads=1, device="cpu")


def workbench(folder: Path, model: HFModel, progress: Callable[..., None] = lambda *said: None) -> Workbench:
    """What an updater works with, for a model named `m`."""
    (folder / "scratch").mkdir(parents=True, exist_ok=True)
    return Workbench(
        store=ArtifactStore(folder / "store"),
        models={"m": model},
        scratch=folder / "scratch",
        seed=3,
        stopwatch=Stopwatch(),
        progress=progress,
    )
