"""What the shipped small models are made of: a tokenizer of pieces of text, and a Llama decoder."""

from __future__ import annotations

from collections.abc import Mapping

from tokenizers import Regex, Tokenizer, decoders, pre_tokenizers, processors
from tokenizers.models import WordLevel
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

SPECIAL = ("<pad>", "<bos>", "<eos>", "<unk>")
PAD, BOS, EOS = 0, 1, 2


def tokenizer_of(vocabulary: Mapping[str, int], pattern: str, *, context: int) -> PreTrainedTokenizerFast:
    """A tokenizer that cuts text by `pattern` and looks the pieces up; prompts begin with <bos>."""
    tokenizer = Tokenizer(WordLevel(dict(vocabulary), unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(pattern), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A", pair="<bos> $A $B", special_tokens=[("<bos>", BOS)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<eos>",
        unk_token="<unk>",
        model_max_length=context,
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )


def decoder(
    vocabulary: int, *, hidden: int, inner: int, layers: int, heads: int, context: int
) -> LlamaForCausalLM:
    """An untrained decoder with tied embeddings."""
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocabulary,
            hidden_size=hidden,
            intermediate_size=inner,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            num_key_value_heads=heads,
            max_position_embeddings=context,
            tie_word_embeddings=True,
            pad_token_id=PAD,
            bos_token_id=BOS,
            eos_token_id=EOS,
        )
    )
