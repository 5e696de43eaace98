"""The LoRA run: base weights and rows in, a trained PEFT model out.

The base is held in the dtype that is computed in and served later; the adapter is kept in fp32
under autocast, so that small updates are not lost (pure bf16 AdamW stalls).
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import (
    AutoModelForCausalLM,
    PreTrainedTokenizerBase,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)
from transformers.trainer_callback import PrinterCallback

from trainer.errors import TrainerError
from trainer.recipe import Recipe
from trainer.rendering import Row

log = logging.getLogger("trainer")

COMPARED_TOKENS = 64  # with a vocabulary of 152,000 that is 39 MB a row
IGNORED = -100  # the label that cross entropy leaves out
DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}


def compute_dtype(wanted: str) -> str:
    """bfloat16 from compute capability 8.0 on and on CPUs, else float16, unless one is wanted."""
    if wanted != "auto":
        return wanted
    if torch.cuda.is_available() and torch.cuda.get_device_capability() < (8, 0):
        return "float16"
    return "bfloat16"


def load_base(base: Path, dtype: str) -> Any:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        model = AutoModelForCausalLM.from_pretrained(base, dtype=DTYPES[dtype])
    except (OSError, ValueError) as error:
        raise TrainerError(f"cannot load the base model from {base}: {error}") from error
    return model.to(device)


def train(
    base: Any,
    rows: list[Row],
    validation: list[Row],
    recipe: Recipe,
    dtype: str,
    pad_id: int,
    run_dir: Path,
) -> PeftModel:
    """Train a LoRA of `base` on `rows`; `validation` may be empty.

    Progress goes to `run_dir/metrics.jsonl`, the adapter to `run_dir/adapter`.
    """
    settings, lora = recipe.training, recipe.lora
    set_seed(settings.seed)
    base.config.use_cache = False
    model = get_peft_model(
        base,
        LoraConfig(
            r=lora.r,
            lora_alpha=lora.alpha,
            lora_dropout=lora.dropout,
            target_modules=list(lora.targets),
            task_type="CAUSAL_LM",
        ),
    )
    if settings.gradient_checkpointing:
        model.enable_input_require_grads()
    arguments = TrainingArguments(
        output_dir=str(run_dir),
        per_device_train_batch_size=settings.batch_size,
        per_device_eval_batch_size=settings.batch_size,
        prediction_loss_only=True,
        gradient_accumulation_steps=settings.gradient_accumulation,
        num_train_epochs=settings.epochs,
        max_steps=settings.max_steps or -1,
        learning_rate=settings.learning_rate,
        warmup_steps=settings.warmup_steps,
        lr_scheduler_type=settings.schedule,
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_grad_norm,
        gradient_checkpointing=settings.gradient_checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False},
        bf16=dtype == "bfloat16",
        fp16=dtype == "float16",
        use_cpu=not torch.cuda.is_available(),
        optim="adamw_torch",
        seed=settings.seed,
        logging_strategy="steps",
        logging_steps=1,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=torch.cuda.is_available(),
    )
    trainer = Trainer(
        model=model,
        args=arguments,
        train_dataset=rows,
        eval_dataset=validation or None,
        data_collator=lambda batch: collate(batch, pad_id),
        callbacks=[
            MetricsWriter(
                run_dir / "metrics.jsonl",
                sum(len(r.prompt) + len(r.reply) for r in rows) / len(rows),
            )
        ],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    if validation:
        loss = trainer.evaluate()["eval_loss"]
        log.info("validation loss %.4f nats per token on %d rows", loss, len(validation))
    model.save_pretrained(str(run_dir / "adapter"))
    model.eval()
    return model


def collate(batch: Iterable[Row], pad_id: int) -> dict[str, torch.Tensor]:
    """Right-padded int64 tensors of shape (rows, longest row); padding and prompts bear no loss."""
    rows = list(batch)
    width = max(len(row.prompt) + len(row.reply) for row in rows)
    ids = torch.full((len(rows), width), pad_id)
    labels = torch.full((len(rows), width), IGNORED)
    mask = torch.zeros((len(rows), width), dtype=torch.long)
    for i, row in enumerate(rows):
        start, end = len(row.prompt), len(row.prompt) + len(row.reply)
        ids[i, :end] = torch.tensor(row.prompt + row.reply)
        labels[i, start:end] = torch.tensor(row.reply)
        mask[i, :end] = 1
    return {"input_ids": ids, "labels": labels, "attention_mask": mask}


class MetricsWriter(TrainerCallback):
    """One JSON line a step: step, steps, loss, learning_rate, tokens_per_s, elapsed_s, eta_s.

    And a log line now and then.
    """

    def __init__(self, path: Path, tokens_per_row: float) -> None:
        self._path = path
        self._tokens_per_row = tokens_per_row
        self._started = 0.0
        self._last_said = 0.0

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._path.write_text("")
        self._started = self._last_said = time.monotonic()

    def on_log(
        self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any
    ) -> None:
        if not logs or "loss" not in logs:
            return
        now = time.monotonic()
        elapsed = now - self._started
        rows_a_step = args.train_batch_size * args.gradient_accumulation_steps * args.world_size
        entry = {
            "step": state.global_step,
            "steps": state.max_steps,
            "loss": float(logs["loss"]),
            "learning_rate": float(logs["learning_rate"]),
            "tokens_per_s": round(state.global_step * rows_a_step * self._tokens_per_row / elapsed),
            "elapsed_s": round(elapsed, 1),
            "eta_s": round(elapsed / state.global_step * (state.max_steps - state.global_step), 1),
        }
        with self._path.open("a") as file:
            file.write(json.dumps(entry) + "\n")
        if now - self._last_said > 10 or state.global_step == state.max_steps:
            self._last_said = now
            log.info(
                "step %(step)d/%(steps)d  loss %(loss).4f  "
                "%(tokens_per_s)d tokens/s  %(eta_s).0f s left",
                entry,
            )


@torch.inference_mode()
def reply_logprobs(model: Any, rows: list[Row]) -> list[torch.Tensor]:
    """For each row, log-probabilities over the end of its reply.

    Returns:
        float32 tensors of shape (tokens, vocabulary), at most `COMPARED_TOKENS` tokens each.
    """
    result = []
    for row in rows:
        ids = torch.tensor([row.prompt + row.reply], device=model.device)
        count = min(len(row.reply), COMPARED_TOKENS)
        logits = model(input_ids=ids).logits[0, -count - 1 : -1]
        result.append(logits.float().log_softmax(-1).cpu())
    return result


def pad_token(tokenizer: PreTrainedTokenizerBase) -> int:
    """Any token will do for padding, which is masked.

    The end-of-sequence token where there is no pad token.
    """
    return int(
        tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    )
