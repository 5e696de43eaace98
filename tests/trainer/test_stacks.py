"""The server of a stack reads correctly what the trainer of that stack publishes."""

import json
import subprocess
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest
from transformers import AutoConfig, AutoTokenizer, GenerationConfig

from contract import Contract
from trainer.pipeline import run
from trainer.publishing.readback import facts
from trainer.recipe import Recipe
from trainer.settings import Settings


@pytest.mark.skipif(version("transformers")[:2] != "4.", reason="volta trains with transformers 4")
def test_the_volta_server_reads_the_volta_trainers_models(
    root: Path, tiny_recipe: Callable[..., Recipe], settings: Settings
) -> None:
    published = run(tiny_recipe(), settings)
    messages = list(Contract.load(published).probe.messages)
    own = facts(
        AutoConfig.from_pretrained(published),
        GenerationConfig.from_pretrained(published),
        AutoTokenizer.from_pretrained(published),
        messages,
    )
    done = subprocess.run(
        [str(root / ".venv-volta/bin/python"), "-m", "trainer.publishing.readback", str(published)],
        input=json.dumps(messages),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == own
    assert own["rope_theta"] == 50_000.0
