"""Where a base model comes from: a directory, the Hugging Face hub, or ModelScope.

Both libraries show progress, and go on with a download that was cut off.
"""

from __future__ import annotations

from pathlib import Path

from trainer.errors import TrainerError

_WANTED = ["*.safetensors", "*.json", "*.jinja", "*.txt", "*.model"]


def find_base(base: str, source: str) -> Path:
    """The base model's directory, downloaded where `base` is not one.

    Raises:
        TrainerError: it is neither here nor to be had; the message names the variable to set.
    """
    if Path(base).is_dir():
        if not (Path(base) / "config.json").is_file():
            raise TrainerError(f"{base} holds no config.json: it is not a model's directory")
        return Path(base)
    if base.startswith("/"):
        raise TrainerError(f"the base model's directory {base} does not exist")
    if source == "local":
        raise TrainerError(
            f"MODEL_SOURCE is local, and there is no directory {base}: set the recipe's base to "
            "one, or MODEL_SOURCE to huggingface or modelscope"
        )
    return _from_modelscope(base) if source == "modelscope" else _from_hub(base)


def _from_hub(base: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(base, allow_patterns=_WANTED))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise TrainerError(
            f"cannot get the base model {base} from the Hugging Face hub: {error}. Check the name "
            "and the network: HF_ENDPOINT names a mirror, HF_TOKEN opens a gated model, "
            "MODEL_SOURCE=modelscope takes the other hub. Or set the recipe's base to a directory "
            "that holds it."
        ) from error


def _from_modelscope(base: str) -> Path:
    from modelscope import snapshot_download

    try:
        return Path(snapshot_download(base, allow_patterns=_WANTED))
    except Exception as error:
        raise TrainerError(
            f"cannot get the base model {base} from ModelScope: {error}. Check the name and the "
            "network: MODELSCOPE_DOMAIN names a mirror, MODEL_SOURCE=huggingface takes the other "
            "hub. Or set the recipe's base to a directory that holds it."
        ) from error
