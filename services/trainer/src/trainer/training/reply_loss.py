"""The loss of a pack, and the likelihood of labels: forward passes over packed rows.

The vocabulary's logits are the largest thing in memory (152,000 numbers a token for Qwen2), so they
are made where a reply is predicted and nowhere else, a chunk of tokens at a time.
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

    `ids` (tokens,); `predict` (predicted,) the places whose next token is predicted; `targets` and
    `weights` (predicted,) those tokens and what their loss counts; `bounds` tells rows apart.
    """

    ids: torch.Tensor
    predict: torch.Tensor
    targets: torch.Tensor
    weights: torch.Tensor
    bounds: dict[str, Any]


def precision(dtype: str, device: torch.device) -> AbstractContextManager[Any]:
    """The context that forward passes in `dtype` run in."""
    return nullcontext() if dtype == "float32" else torch.autocast(device.type, DTYPES[dtype])


def row_weight(row: Row, analysis_weight: float) -> float:
    """What all of a row's tokens count together."""
    return row.label_start * analysis_weight + len(row.reply) - row.label_start


def make_pack(rows: Sequence[Row], analysis_weight: float, device: torch.device) -> Pack:
    """`rows` for `device`; prompts bear no loss, and analysis tokens count `analysis_weight`."""
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
        """Of a pack, its loss: weighted negative log-likelihoods in nats, summed. Of choices, how
        many have their key as the likeliest label.

        One entry for both, because FSDP gathers weights around a module's forward.
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
        logits = self.causal.get_output_embeddings()(self._hidden(ids, rows)[last])
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

    def _chunk_loss(
        self, hidden: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor
    ) -> torch.Tensor:
        logits = self.causal.get_output_embeddings()(hidden).float()
        return (cross_entropy(logits, targets, reduction="none") * weights).sum()


def neftune_noise(embedded: torch.Tensor, row_ends: Sequence[int], alpha: float) -> torch.Tensor:
    """Uniform noise of the shape of `embedded` (1, tokens, width), in every row within
    alpha / sqrt(tokens of the row * width) (NEFTune, Jain et al. 2023, section 2).
    """
    lengths = torch.tensor([end - start for start, end in pairwise(row_ends)])
    bound = alpha / (lengths * embedded.shape[-1]).sqrt()
    noise = torch.empty_like(embedded).uniform_(-1, 1)
    return noise * bound.repeat_interleave(lengths).to(embedded)[None, :, None]
