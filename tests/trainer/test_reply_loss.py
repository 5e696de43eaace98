"""Packed rows have the same losses as rows alone, and do not see one another."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM

from tiny_models import FAMILIES, make_model
from trainer.data.rendering import Choice, Row
from trainer.training import reply_loss
from trainer.training.base_model import load_base
from trainer.training.reply_loss import ReplyLoss, make_pack, neftune_noise, precision

CPU = torch.device("cpu")
ROWS = [
    Row([5, 6, 7, 8, 9], [10, 11, 12], 1),
    Row([20, 21], [22, 23, 24, 25, 26, 27], 4),
    Row([30, 31, 32, 33, 34, 35, 36], [37, 38], 0),
]


def module_of(base: Path) -> ReplyLoss:
    return ReplyLoss(load_base(base, "float32", CPU), precision("float32", CPU))


def reference_loss(base: Path, row: Row) -> float:
    """The loss by transformers alone: its own attention, and logits for every token."""
    model: Any = AutoModelForCausalLM.from_pretrained(
        base, dtype=torch.float32, attn_implementation="eager"
    )
    logits = model(input_ids=torch.tensor([row.prompt + row.reply])).logits[0]
    start = len(row.prompt) - 1
    return float(cross_entropy(logits[start:-1], torch.tensor(row.reply), reduction="sum").detach())


@pytest.mark.parametrize("family", FAMILIES)
def test_packed_rows_have_the_same_losses_as_rows_alone(
    root: Path, tmp_path: Path, family: str
) -> None:
    base = make_model(root, tmp_path, family)
    module = module_of(base)
    alone = [float(module(make_pack([row], 1.0, CPU))) for row in ROWS]
    assert float(module(make_pack(ROWS, 1.0, CPU))) == pytest.approx(sum(alone), rel=1e-5)
    assert alone == pytest.approx([reference_loss(base, row) for row in ROWS], rel=1e-4)


def test_packed_rows_have_the_sum_of_their_gradients(tiny_base: Path) -> None:
    packed, alone = module_of(tiny_base), module_of(tiny_base)
    packed(make_pack(ROWS, 1.0, CPU)).backward()
    for row in ROWS:
        alone(make_pack([row], 1.0, CPU)).backward()
    for one, other in zip(packed.parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-3, atol=1e-5)


def test_a_row_does_not_see_its_neighbours(tiny_base: Path) -> None:
    module = module_of(tiny_base)
    asked = [Choice([1, 2, 3], [7, 8], 0), Choice([4, 5, 6, 7], [7, 8], 0)]
    other = [Choice([90, 91, 92, 93, 94], [7, 8], 0), asked[1]]
    with torch.no_grad():
        torch.testing.assert_close(module.label_scores(asked)[1], module.label_scores(other)[1])


def test_a_sliding_window_stays_inside_its_row(root: Path, tmp_path: Path) -> None:
    base = make_model(root, tmp_path, "mistral", sliding_window=4)
    module = module_of(base)
    row = Row(list(range(5, 17)), [20, 21, 22])
    assert float(module(make_pack([ROWS[0], row], 1.0, CPU))) == pytest.approx(
        reference_loss(base, ROWS[0]) + reference_loss(base, row), rel=1e-4
    )


def test_logits_made_in_chunks_give_the_same_loss_and_gradient(
    tiny_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, chunked = module_of(tiny_base), module_of(tiny_base)
    loss = whole(make_pack(ROWS, 0.5, CPU))
    loss.backward()
    monkeypatch.setattr(reply_loss, "CHUNK_TOKENS", 2)
    in_chunks = chunked(make_pack(ROWS, 0.5, CPU))
    in_chunks.backward()
    assert float(in_chunks) == pytest.approx(float(loss), rel=1e-6)
    for one, other in zip(whole.parameters(), chunked.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-6)


def test_a_frozen_head_gives_the_same_loss_and_gradient(
    tiny_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained, frozen = module_of(tiny_base), module_of(tiny_base)
    frozen.causal.get_output_embeddings().requires_grad_(False)
    monkeypatch.setattr(reply_loss, "CHUNK_TOKENS", 4)
    for module in (trained, frozen):
        (module(make_pack(ROWS, 0.5, CPU)) * 0.1).backward()
    assert float(frozen(make_pack(ROWS, 0.5, CPU))) == pytest.approx(
        float(trained(make_pack(ROWS, 0.5, CPU))), rel=1e-6
    )
    compared = 0
    for one, other in zip(trained.parameters(), frozen.parameters(), strict=True):
        if other.requires_grad:
            torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-7)
            compared += 1
    assert compared > 10


def test_the_loss_covers_replies_alone_with_weighted_analyses(
    tiny_base: Path,
) -> None:
    pack = make_pack(ROWS[:2], 0.25, CPU)
    assert pack.targets.tolist() == [10, 11, 12, 22, 23, 24, 25, 26, 27]
    assert pack.predict.tolist() == [4, 5, 6, 9, 10, 11, 12, 13, 14]
    assert pack.weights.tolist() == [0.25, 1, 1, 0.25, 0.25, 0.25, 0.25, 1, 1]
    assert pack.bounds["position_ids"].tolist() == [[*range(8), *range(8)]]
    labels_only = module_of(tiny_base)(make_pack([ROWS[0]], 0.0, CPU))
    assert 0 < float(labels_only) < reference_loss(tiny_base, ROWS[0])


def test_neftune_noise_is_bounded_by_its_rows_own_length() -> None:
    torch.manual_seed(0)
    noise = neftune_noise(torch.zeros(1, 104, 16), torch.tensor([0, 4, 104]), alpha=5.0)[0]
    for part, length in ((noise[:4], 4), (noise[4:], 100)):
        bound = 5.0 / (length * 16) ** 0.5
        assert 0.8 * bound < float(part.abs().max()) <= bound


def test_neftune_is_off_outside_training(tiny_base: Path) -> None:
    module = ReplyLoss(load_base(tiny_base, "float32", CPU), precision("float32", CPU), 5.0)
    pack = make_pack(ROWS, 1.0, CPU)
    module.eval()
    quiet = float(module(pack))
    module.train()
    assert float(module(pack)) != quiet
    module.eval()
    assert float(module(pack)) == quiet
