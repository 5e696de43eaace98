"""Merge the adapter into the base, save everything a server needs, and check what it will read.

Weights are merged in the dtype they were trained in. The check loads the saved files as the server
will and compares them with the adapter on real rows, so that "trained" and "served" cannot differ
unseen.
"""

from __future__ import annotations

import gc
import logging
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig, PreTrainedTokenizerBase

from trainer.errors import TrainerError
from trainer.lora import DTYPES, reply_logprobs
from trainer.rendering import Row

log = logging.getLogger("trainer")

MAX_SHARD = "2GB"
# How far apart, in nats, rounding the merged weights may leave the log-probabilities of reply
# tokens (mean absolute difference, weighted by probability).
TOLERANCE_NATS = {"float32": 1e-3, "float16": 0.02, "bfloat16": 0.1}


def save_merged(
    model: PeftModel, tokenizer: PreTrainedTokenizerBase, end_id: int, directory: Path
) -> None:
    """Merge in place and save weights, tokenizer and generation config.

    Whichever of the three a server reads its end of sequence from, it stops where a reply was
    trained to end.

    Raises:
        TrainerError: the saved config would be read with another RoPE base than was trained with.
    """
    trained_rope = rope_theta(model.config)
    merged: Any = model.merge_and_unload()
    ends = {end_id, tokenizer.eos_token_id, tokenizer.get_vocab().get("<|endoftext|>")} - {None}
    merged.generation_config = GenerationConfig(
        eos_token_id=sorted(ends), pad_token_id=tokenizer.pad_token_id
    )
    merged.config.use_cache = True
    merged.config.eos_token_id = end_id
    tokenizer.eos_token = tokenizer.convert_ids_to_tokens(end_id)
    merged.save_pretrained(str(directory), max_shard_size=MAX_SHARD)
    tokenizer.save_pretrained(str(directory))
    served = rope_theta(AutoConfig.from_pretrained(directory))
    if served != trained_rope:
        raise TrainerError(
            f"the saved config gives rope_theta {served}, training used {trained_rope}: "
            "trainer and server must have the same major version of transformers"
        )


def rope_theta(config: Any) -> float:
    """RoPE's base: inside `rope_parameters` from transformers 5 on, at the top level before."""
    parameters = getattr(config, "rope_parameters", None)
    return float(parameters["rope_theta"] if parameters else config.rope_theta)


def verify(directory: Path, rows: list[Row], trained: list[torch.Tensor], dtype: str) -> None:
    """Compare the saved model with the adapter's `trained` log-probabilities on the same `rows`.

    Raises:
        TrainerError: they differ by more than rounding explains.
    """
    gc.collect()  # the model that was trained must be off the GPU before the saved one comes
    torch.cuda.empty_cache()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model: Any = AutoModelForCausalLM.from_pretrained(directory, dtype=DTYPES[dtype]).to(device)
    model.eval()
    served, expected = torch.cat(reply_logprobs(model, rows)), torch.cat(trained)
    # weighted by the trained probability, so that tokens no one would draw do not drown the rest
    difference = (expected.exp() * (expected - served).abs()).sum(-1).mean().item()
    same = (expected.argmax(-1) == served.argmax(-1)).float().mean().item()
    log.info(
        "merged weights agree with the adapter: %.1f %% same first token, %.4f nats apart",
        100 * same,
        difference,
    )
    if not difference <= TOLERANCE_NATS[dtype]:
        raise TrainerError(
            f"the merged weights do not say what the adapter says: {difference:.3f} nats apart on "
            f"{len(rows)} rows (at most {TOLERANCE_NATS[dtype]} in {dtype}). Nothing was "
            "published; train in float32 or bfloat16, or with a smaller alpha."
        )
