"""`python -m trainer.publishing.readback DIR`: a saved model as another process reads it.

The process gets messages as JSON on standard input. It prints the token ids that they become, and
the settings that would change a server's replies if the server read them differently.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from trainer.errors import TrainerError


def read_back(directory: Path, messages: list[Any]) -> dict[str, Any]:
    """`facts` of `directory` as a fresh process finds them.

    Raises:
        TrainerError: that process cannot load the saved model.
    """
    child = subprocess.run(
        [sys.executable, "-m", "trainer.publishing.readback", str(directory)],
        input=json.dumps(messages, allow_nan=False),
        capture_output=True,
        text=True,
    )
    if child.returncode:
        raise TrainerError(
            f"the saved model cannot be loaded again: {child.stderr.strip()[-2000:]}"
        )
    found: dict[str, Any] = json.loads(child.stdout.splitlines()[-1])
    return found


def facts(config: Any, generation: Any, tokenizer: Any, messages: list[Any]) -> dict[str, Any]:
    """Values that must be the same before saving and after loading."""
    from trainer.data.rendering import chat_template_sha256, prompt_ids

    ends = generation.eos_token_id
    return {
        "rope_theta": rope_theta(config),
        "tie_word_embeddings": config.tie_word_embeddings,
        "vocab_size": config.vocab_size,
        "eos_token_id": config.eos_token_id,
        "pad_token_id": config.pad_token_id,
        "generation_eos_token_id": sorted(ends) if isinstance(ends, list) else [ends],
        "tokenizer_eos_token_id": tokenizer.eos_token_id,
        "chat_template_sha256": chat_template_sha256(tokenizer),
        "probe_token_ids": prompt_ids(tokenizer, messages),
    }


def rope_theta(config: Any) -> float | dict[str, float]:
    """RoPE's base: inside `rope_parameters` from transformers 5 on, at the top level before. Gemma
    3 has one for each kind of layer.
    """
    parameters = getattr(config, "rope_parameters", None)
    if not parameters:
        return float(config.rope_theta)
    if "rope_theta" in parameters:
        return float(parameters["rope_theta"])
    return {kind: float(one["rope_theta"]) for kind, one in parameters.items()}


def _main() -> None:
    from transformers import AutoConfig, AutoTokenizer, GenerationConfig

    directory = Path(sys.argv[1])
    found = facts(
        AutoConfig.from_pretrained(directory),
        GenerationConfig.from_pretrained(directory),
        AutoTokenizer.from_pretrained(directory),
        json.loads(sys.stdin.read()),
    )
    print(json.dumps(found, allow_nan=False))


if __name__ == "__main__":
    _main()
