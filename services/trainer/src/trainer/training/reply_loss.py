"""Forward passes over packed rows, for the loss of a pack and the likelihood of labels.

The logits over the vocabulary need the most memory (152,000 numbers a token for Qwen2). So they are
computed only for tokens of replies, a chunk of tokens at a time. If the head is frozen, as in LoRA,
a chunk's gradient is taken together with its loss: then its logits can be freed, and need not be
computed again on the way back (as in Liger's fused loss, Hsu et al. 2024).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from peft import PeftModel
from torch.nn.functional import cross_entropy
from torch.utils.checkpoint import checkpoint

from trainer.data.rendering import Choice, Row
from trainer.training.attention import bounds, sent
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
        sent(torch.tensor(ids), device),
        sent(torch.tensor(predict), device),
        sent(torch.tensor(targets), device),
        sent(torch.tensor(weights), device),
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
        # a function, not a method, which would hold this module and its memory in a cycle
        self.chunk_loss: Callable[..., torch.Tensor] = ReplyLoss._chunk_loss

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
        hidden = self._hidden(pack.ids, pack.bounds).index_select(0, pack.predict)
        head, chunk_loss = self.causal.get_output_embeddings(), partial(self.chunk_loss, self)
        if hidden.requires_grad and not any(p.requires_grad for p in head.parameters()):
            frozen: Any = _FrozenHeadLoss.apply
            return frozen(hidden, pack.targets, pack.weights, chunk_loss)  # type: ignore[no-any-return]
        chunks = list(_chunks(hidden, pack.targets, pack.weights))
        if len(chunks) == 1:  # its logits fit, and need not be computed twice
            return chunk_loss(*chunks[0])
        losses: list[torch.Tensor] = [
            checkpoint(chunk_loss, *chunk, use_reentrant=False) for chunk in chunks
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
        last = sent(rows["row_ends"][1:] - 1, device)
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


class _FrozenHeadLoss(torch.autograd.Function):
    """The sum of `chunk_loss` over the chunks of `hidden`, (tokens, width), and its gradient."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        targets: torch.Tensor,
        weights: torch.Tensor,
        chunk_loss: Callable[..., torch.Tensor],
    ) -> torch.Tensor:
        gradient = torch.empty_like(hidden)
        losses = []
        for into, part, *rest in _chunks(gradient, hidden, targets, weights):
            with torch.enable_grad():
                part = part.detach().requires_grad_()
                loss = chunk_loss(part, *rest)
                into.copy_(torch.autograd.grad(loss, part)[0])
            losses.append(loss.detach())
        ctx.save_for_backward(gradient)
        return torch.stack(losses).sum()

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        return gradient * grads[0], None, None, None


def _chunks(*tensors: torch.Tensor) -> Iterator[tuple[torch.Tensor, ...]]:
    """Parts of `tensors`, which all have as many rows, in turn; views of them."""
    return zip(*(torch.split(tensor, CHUNK_TOKENS) for tensor in tensors), strict=True)


def neftune_noise(embedded: torch.Tensor, row_ends: torch.Tensor, alpha: float) -> torch.Tensor:
    """Uniform noise in the shape of `embedded`, (1, tokens, width). In each row its bound is
    alpha / sqrt(tokens of the row * width) (NEFTune, Jain et al. 2023, section 2).
    """
    lengths = row_ends.diff()
    bound = alpha / (lengths * embedded.shape[-1]).sqrt()
    noise = torch.empty_like(embedded).uniform_(-1, 1)
    return noise * bound.repeat_interleave(lengths).to(embedded)[None, :, None]
