"""Tiny models in the shapes of families that people bring, each with a tokenizer of its own and a
chat template of its family's kind.
"""

from pathlib import Path
from typing import Any, NamedTuple

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

# thinks unless it is told not to; its own replies have an empty block, its prompts have none
QWEN3 = """{%- for message in messages %}
{{- '<|im_start|>' + message.role + '\n' }}
{%- if message.role == 'assistant' %}{{- '<think>\n\n</think>\n\n' }}{%- endif %}
{{- message.content + '<|im_end|>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}
{%- if enable_thinking is defined and not enable_thinking %}{{- '<think>\n\n</think>\n\n' }}
{%- endif %}{%- endif %}"""
# begins with a system turn, which has a date
LLAMA = """{{- bos_token }}
{%- set given = messages[0].role == 'system' %}
{{- '<|start_header_id|>system<|end_header_id|>\n\nToday: ' + strftime_now('%d %b %Y') + '\n\n' }}
{{- (messages[0].content | trim if given else '') + '<|eot_id|>' }}
{%- for message in (messages[1:] if given else messages) %}
{{- '<|start_header_id|>' + message.role + '<|end_header_id|>\n\n' }}
{{- message.content | trim + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
{{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{%- endif %}"""
# has no system turn, and no mark for a reply's beginning but the end of the instruction
MISTRAL = """{{- bos_token }}
{%- for message in messages %}
{%- if (message.role == 'user') != (loop.index0 % 2 == 0) %}
{{- raise_exception('Roles must alternate: user, assistant') }}{%- endif %}
{%- if message.role == 'user' %}{{- '[INST] ' + message.content + ' [/INST]' }}
{%- else %}{{- ' ' + message.content + eos_token }}{%- endif %}
{%- endfor %}"""
# has no system turn, calls the assistant model, and ends turns with another token than eos
GEMMA = """{{- bos_token }}
{%- if messages[0].role == 'system' %}
{{- raise_exception('System role not supported') }}{%- endif %}
{%- for message in messages %}
{{- '<start_of_turn>' + ('model' if message.role == 'assistant' else message.role) + '\n' }}
{{- message.content | trim + '<end_of_turn>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<start_of_turn>model\n' }}{%- endif %}"""


class Shape(NamedTuple):
    """`config` names the classes in transformers. `special`: the tokens that begin a text, end a
    text, and pad; then further ones.
    """

    config: str
    template: str
    special: tuple[str, ...]
    changes: dict[str, Any]
    has_system: bool


SHAPES = {
    "qwen3": Shape(
        "Qwen3",
        QWEN3,
        ("<|endoftext|>", "<|im_end|>", "<|endoftext|>", "<|im_start|>"),
        {"tie_word_embeddings": True},
        True,
    ),
    "llama": Shape(
        "Llama",
        LLAMA,
        ("<|begin_of_text|>", "<|eot_id|>", "<|pad|>", "<|start_header_id|>", "<|end_header_id|>"),
        {},
        True,
    ),
    "mistral": Shape(
        "Mistral",
        MISTRAL,
        ("<s>", "</s>", "</s>", "[INST]", "[/INST]"),
        {"sliding_window": 64},
        False,
    ),
    "gemma2": Shape(
        "Gemma2",
        GEMMA,
        ("<bos>", "<eos>", "<pad>", "<start_of_turn>", "<end_of_turn>"),
        # caps low enough to matter in a tiny model
        {
            "sliding_window": 64,
            "query_pre_attn_scalar": 32,
            "attn_logit_softcapping": 2.0,
            "final_logit_softcapping": 15.0,
        },
        False,
    ),
    "gemma3": Shape(
        "Gemma3Text",
        GEMMA,
        ("<bos>", "<eos>", "<pad>", "<start_of_turn>", "<end_of_turn>"),
        {"sliding_window": 64, "query_pre_attn_scalar": 32},
        False,
    ),
}
MODELS = {"Gemma3Text": "Gemma3ForCausalLM"}


def make_shape(shape: Shape, text: str, folder: Path) -> Path:
    """Save a model of random weights, and a tokenizer trained on `text`, into `folder`."""
    tokenizer = _tokenizer(shape, text)
    config = getattr(transformers, f"{shape.config}Config")(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        initializer_range=0.15,  # a wide head, so that a few steps can make a token likely
        max_position_embeddings=1024,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **shape.changes,
    )
    torch.manual_seed(0)
    named = MODELS.get(shape.config, f"{shape.config}ForCausalLM")
    getattr(transformers, named)(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _tokenizer(shape: Shape, text: str) -> PreTrainedTokenizerFast:
    """A byte-level BPE, as all these families have, or read like one."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    special = list(dict.fromkeys(shape.special))
    trainer = trainers.BpeTrainer(
        vocab_size=512,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(text.splitlines(), trainer)
    start, end, pad, *_ = shape.special
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe, bos_token=start, eos_token=end, pad_token=pad
    )
    tokenizer.add_special_tokens({"additional_special_tokens": special})
    tokenizer.chat_template = shape.template
    return tokenizer
