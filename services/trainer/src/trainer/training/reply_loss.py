"""Forward passes over packed rows, for the loss of a pack and the likelihood of labels.

The logits over the vocabulary need the most memory (152,000 numbers a token for Qwen2). So they are
computed only for tokens of replies, a chunk of tokens at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from peft import PeftModel
from torch.nn.functional import cross_entropy
from torch.utils.checkpoint import checkpoint

from trainer.data.rendering import Choice, Row
from trainer.training.attention import bounds
from trainer.training.base_model import DTYPES

CHUNK_TOKENS = 1024


@dataclass(frozen=True)
class Pack:
    """Rows one behind the other.

    `ids`, shape (tokens,). `predict`, shape (predicted,): the places whose next token is predicted.
    `targets` and `weights`, the same shape: those next tokens, and the weights of their losses.
    `bounds`: where each row begins and ends.
    """

    ids: torch.Tensor
    predict: torch.Tensor
    targets: torch.Tensor
    weights: torch.Tensor
    bounds: dict[str, Any]


def precision(dtype: str, device: torch.device) -> AbstractContextManager[Any]:
    """The context for forward passes in `dtype`: autocast, or none for float32."""
    return nullcontext() if dtype == "float32" else torch.autocast(device.type, DTYPES[dtype])


def row_weight(row: Row, analysis_weight: float) -> float:
    """The sum of the loss weights of a row's tokens."""
    return row.label_start * analysis_weight + len(row.reply) - row.label_start


def make_pack(rows: Sequence[Row], analysis_weight: float, device: torch.device) -> Pack:
    """`rows` on `device`. Prompts have no loss; analysis tokens weigh `analysis_weight`."""
    ids: list[int] = []
    predict: list[int] = []
    targets: list[int] = []
    weights: list[float] = []
    for row in rows:
        first = len(ids) + len(row.prompt) - 1
        predict += range(first, first + len(row.reply))
        targets += row.reply
        weights += [analysis_weight] * row.label_start
        weights += [1.0] * (len(row.reply) - row.label_start)
        ids += row.prompt + row.reply
    return Pack(
        torch.tensor(ids, device=device),
        torch.tensor(predict, device=device),
        torch.tensor(targets, device=device),
        torch.tensor(weights, device=device),
        bounds([len(row) for row in rows], device),
    )


class ReplyLoss(torch.nn.Module):
    """A causal model (or a PeftModel of one) as a function from packs to losses."""

    def __init__(
        self, model: Any, computing: AbstractContextManager[Any], neftune_alpha: float = 0.0
    ) -> None:
        super().__init__()
        self.model = model
        self._computing = computing
        self._neftune_alpha = neftune_alpha

    @property
    def causal(self) -> Any:
        return self.model.get_base_model() if isinstance(self.model, PeftModel) else self.model

    def forward(self, asked: Pack | Sequence[Choice]) -> torch.Tensor:
        """For a pack, its loss: the weighted sum of negative log-likelihoods in nats. For choices,
        the number of those whose key is the likeliest label.

        One method does both, because FSDP gathers weights only around a module's forward.
        """
        with self._computing:
            return self._loss(asked) if isinstance(asked, Pack) else self._right(asked)

    def _loss(self, pack: Pack) -> torch.Tensor:
        hidden = self._hidden(pack.ids, pack.bounds)[pack.predict]
        parts = [torch.split(p, CHUNK_TOKENS) for p in (hidden, pack.targets, pack.weights)]
        chunks = list(zip(*parts, strict=True))
        if len(chunks) == 1:
            return self._chunk_loss(*chunks[0])
        losses: list[torch.Tensor] = [
            checkpoint(self._chunk_loss, *chunk, use_reentrant=False) for chunk in chunks
        ]
        return torch.stack(losses).sum()

    def _right(self, choices: Sequence[Choice]) -> torch.Tensor:
        likeliest = [int(scores.argmax()) for scores in self.label_scores(choices)]
        right = [at == choice.key for at, choice in zip(likeliest, choices, strict=True)]
        return torch.tensor(float(sum(right)))

    def label_scores(self, choices: Sequence[Choice]) -> list[torch.Tensor]:
        """For each choice the logits of its labels, in their order: float32 (labels,)."""
        device = next(self.parameters()).device
        ids = torch.tensor([i for choice in choices for i in choice.ids], device=device)
        rows = bounds([len(choice.ids) for choice in choices], device)
        last = torch.tensor(rows["row_ends"][1:], device=device) - 1
        logits = self._logits(self._hidden(ids, rows)[last])
        return [row[choice.label_ids].float() for row, choice in zip(logits, choices, strict=True)]

    def _hidden(self, ids: torch.Tensor, rows: dict[str, Any]) -> torch.Tensor:
        """The last layer's states, (tokens, width)."""
        given: dict[str, Any] = {"input_ids": ids[None]}
        if self.training and self._neftune_alpha:
            embedded = self.causal.get_input_embeddings()(ids[None])
            noise = neftune_noise(embedded, rows["row_ends"], self._neftune_alpha)
            given = {"inputs_embeds": embedded + noise}
        states: torch.Tensor = self.causal.base_model(
            **given, use_cache=False, **rows
        ).last_hidden_state
        return states[0]

    def _logits(self, hidden: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.causal.get_output_embeddings()(hidden)
        cap = getattr(self.causal.config, "final_logit_softcapping", None)  # Gemma 2
        return logits if cap is None else cap * torch.tanh(logits / cap)

    def _chunk_loss(
        self, hidden: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor
    ) -> torch.Tensor:
        logits = self._logits(hidden).float()
        return (cross_entropy(logits, targets, reduction="none") * weights).sum()


def neftune_noise(embedded: torch.Tensor, row_ends: Sequence[int], alpha: float) -> torch.Tensor:
    """Uniform noise in the shape of `embedded`, (1, tokens, width). In each row its bound is
    alpha / sqrt(tokens of the row * width) (NEFTune, Jain et al. 2023, section 2).
    """
    lengths = torch.tensor([end - start for start, end in pairwise(row_ends)])
    bound = alpha / (lengths * embedded.shape[-1]).sqrt()
    noise = torch.empty_like(embedded).uniform_(-1, 1)
    return noise * bound.repeat_interleave(lengths).to(embedded)[None, :, None]
