"""THINKING in the words of several servers. No I/O.

There is no common parameter. So all known ones are sent, and what an endpoint refuses is left out
(`orchestrator.adapting`). Many servers pass over what they do not know, without a word.
"""

from __future__ import annotations

from typing import Any, Literal

Thinking = Literal["auto", "on", "off"] | int

# Tokens up to which an effort is meant, as Google maps efforts to budgets.
EFFORTS = ((1024, "low"), (8192, "medium"))


def thinking_fields(thinking: Thinking) -> dict[str, Any]:
    """The fields of a request that ask a model to think, or not to; empty for "auto".

    `chat_template_kwargs` reach the chat templates of Qwen3 (`enable_thinking`) and DeepSeek
    (`thinking`) on vLLM, SGLang and llama.cpp. `enable_thinking` and `thinking_budget` are those of
    Alibaba and SiliconFlow, `thinking_token_budget` is vLLM's, and `reasoning_effort` that of
    OpenAI, Google, xAI and others.
    """
    if thinking == "auto":
        return {}
    thinks = thinking != "off"
    template: dict[str, Any] = {"enable_thinking": thinks, "thinking": thinks}
    if not isinstance(thinking, int):
        return {
            "chat_template_kwargs": template,
            "enable_thinking": thinks,
            "reasoning_effort": "medium" if thinks else "none",
        }
    return {
        "chat_template_kwargs": {**template, "thinking_budget": thinking},
        "enable_thinking": True,
        "thinking_budget": thinking,
        "thinking_token_budget": thinking,
        "reasoning_effort": next((name for most, name in EFFORTS if thinking <= most), "high"),
    }
