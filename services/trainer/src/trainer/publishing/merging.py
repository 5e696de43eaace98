"""From trained weights to a folder that a server can load: weights merged in the run's dtype,
tokenizer and generation config.
"""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import GenerationConfig, PreTrainedTokenizerBase

from trainer.run import Run
from trainer.training.base_model import load_base
from trainer.training.distributed import World, trained_weights
from trainer.training.methods import cast_activations, save_adapter
from trainer.training.reply_loss import ReplyLoss

MAX_SHARD = "2GB"


def finished_model(module: ReplyLoss, run: Run, world: World) -> Any:
    """The trained model in one piece and in the run's dtype; its adapter, if any, is saved in the
    run's folder. All processes must call; all but the first get None.

    An adapter that was trained on a quantized base is put on the unquantized base, into which it
    will be merged.
    """
    if run.recipe.method == "full":
        weights = trained_weights(module)
        if not world.first:
            return None
        del module.model
        gc.collect()
        model = load_base(run.base, run.dtype, world.device)
        model.load_state_dict({k.removeprefix("model."): v for k, v in weights.items()})
        return model.eval()
    if not world.first:
        return None
    adapter = save_adapter(module.model, run.recipe, run.folder)
    if run.recipe.lora.quantize == "none":
        cast_activations(module.model, casts=True)
        return module.model.eval()
    del module.model
    gc.collect()
    torch.cuda.empty_cache()
    return PeftModel.from_pretrained(
        load_base(run.base, run.dtype, world.device), str(adapter)
    ).eval()


def save_merged(
    model: Any, tokenizer: PreTrainedTokenizerBase, end_id: int, directory: Path
) -> None:
    """Merge in place and save weights, tokenizer and generation config.

    A server may read its end of sequence from model config, generation config or tokenizer. All
    three get the token that ends a trained reply.
    """
    merged: Any = model.merge_and_unload() if isinstance(model, PeftModel) else model
    ends = {end_id, tokenizer.eos_token_id, tokenizer.get_vocab().get("<|endoftext|>")} - {None}
    merged.generation_config = GenerationConfig(
        eos_token_id=sorted(ends), pad_token_id=tokenizer.pad_token_id
    )
    merged.config.use_cache = True
    merged.config.eos_token_id = end_id
    merged.config.pad_token_id = tokenizer.pad_token_id
    tokenizer.eos_token = tokenizer.convert_ids_to_tokens(end_id)
    merged.save_pretrained(str(directory), max_shard_size=MAX_SHARD)
    tokenizer.save_pretrained(str(directory))
