"""Reading decoder and tokenizer from a checked folder: safetensors only, no code, no network."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging

from sharpen.core.errors import BadInput


def read_module(folder: Path, dtype: torch.dtype, device: str) -> PreTrainedModel:
    """The decoder in a folder, for inference; never runs code from the folder."""
    logging.disable_progress_bar()
    try:
        module: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
            str(folder), dtype=dtype, use_safetensors=True, local_files_only=True, trust_remote_code=False
        )
        return _owned(module.to(device).eval())
    except (OSError, ValueError, RuntimeError) as error:
        raise _unreadable("model", folder, error) from error


def _owned(module: PreTrainedModel) -> PreTrainedModel:
    """Copy the weights out of the mapped file: aligned, and safe from changes to that file."""
    for parameter in module.parameters():
        parameter.data = parameter.data.clone()
    return module


def read_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer in a folder; never runs code from the folder."""
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            str(folder), local_files_only=True, trust_remote_code=False
        )
        return tokenizer
    except (OSError, ValueError, RuntimeError) as error:
        raise _unreadable("tokenizer", folder, error) from error


def _unreadable(what: str, folder: Path, error: Exception) -> BadInput:
    reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
    return BadInput(
        what, str(folder), f"cannot be read: {reason}", remedy="give a folder with an ordinary causal decoder"
    )
