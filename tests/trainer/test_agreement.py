"""A base is trained only if the trainer computes what the base's own code computes."""

from typing import Any

import pytest
import torch
import transformers

from trainer.data.rendering import Row
from trainer.errors import TrainerError
from trainer.training.agreement import check_agreement
from trainer.training.attention import PACKED

ROW = Row(list(range(5, 60)), list(range(7, 47)))


def tiny(family: str, **changes: Any) -> Any:
    """A model of random weights; they are wide, so that a scale on its logits shows."""
    config = getattr(transformers, f"{family}Config")(
        vocab_size=128,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.15,
        pad_token_id=0,
        **changes,
    )
    torch.manual_seed(0)
    model = getattr(transformers, f"{family}ForCausalLM")(config)
    model.config._attn_implementation = PACKED
    return model


def test_gemma_2s_caps_are_computed() -> None:
    caps = {"attn_logit_softcapping": 1.0, "final_logit_softcapping": 3.0, "sliding_window": 16}
    model = tiny("Gemma2", head_dim=16, query_pre_attn_scalar=16, **caps)
    check_agreement(model, ROW, "float32", torch.device("cpu"))
    assert model.config._attn_implementation == PACKED
    assert model.training


def test_a_base_that_scales_its_logits_is_refused() -> None:
    model = tiny("Granite", logits_scaling=10.0)
    with pytest.raises(TrainerError, match="cannot compute as this base does"):
        check_agreement(model, ROW, "float32", torch.device("cpu"))
    assert model.config._attn_implementation == PACKED
