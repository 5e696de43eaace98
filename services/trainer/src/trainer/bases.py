"""Finds a base model: in a directory, on the Hugging Face hub, or on ModelScope.

Both libraries resume a download that was cut off. On a terminal they show bars; elsewhere, as in a
container's log, this module logs lines that say how far the download is.
"""

from __future__ import annotations

import errno
import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from trainer.errors import TrainerError
from trainer.progress import Progress

log = logging.getLogger("trainer")

_WANTED = ["*.safetensors", "*.json", "*.jinja", "*.txt", "*.model"]
# pauses before the further tries of a failed download
PAUSES_S = (5.0, 20.0, 60.0, 120.0)
# errors that another try would not change: no such model, no access
_FINAL_STATUS = (400, 401, 403, 404)
_FINAL_NAMES = ("HFValidationError", "OfflineModeIsEnabled", "NotExistError")
# the libraries' errors for an unusable proxy; a SOCKS proxy without its package is an ImportError
_WRONG_PROXY = ("InvalidURL", "InvalidProxyURL", "InvalidSchema")


def find_base(base: str, source: str) -> Path:
    """The base model's directory; if `base` is not a directory, it is downloaded.

    Raises:
        TrainerError: it is not here and cannot be downloaded; the message names the setting.
    """
    if Path(base).is_dir():
        if not (Path(base) / "config.json").is_file():
            raise TrainerError(f"{base} is not a model's folder: it has no config.json")
        return Path(base)
    if base.startswith("/"):
        raise TrainerError(f"the base model's folder {base} does not exist")
    if source == "local":
        raise TrainerError(
            f"MODEL_SOURCE is local, and the folder {base} does not exist: set the recipe's base "
            "to a folder, or MODEL_SOURCE to huggingface or modelscope"
        )
    return _from_modelscope(base) if source == "modelscope" else _from_hub(base)


def _from_hub(base: str) -> Path:
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.utils.tqdm import disable_progress_bars

    if not sys.stderr.isatty():
        disable_progress_bars()
    try:
        with _progress_logged(base, Path(constants.HF_HUB_CACHE)):
            return _retried(base, lambda: Path(snapshot_download(base, allow_patterns=_WANTED)))
    except Exception as error:
        raise TrainerError(
            f"cannot get the base model {base} from the Hugging Face hub: {error}. Check the name "
            "and the network: HF_ENDPOINT names a mirror, HF_TOKEN opens a gated model, "
            "HF_HUB_DISABLE_XET=1 downloads without Xet's hosts, if these are blocked, "
            "MODEL_SOURCE=modelscope uses the other hub. Or set the recipe's base to a folder with "
            "the model."
        ) from error


def _from_modelscope(base: str) -> Path:
    from modelscope import snapshot_download
    from modelscope.utils.file_utils import get_modelscope_cache_dir

    try:
        with _progress_logged(base, Path(get_modelscope_cache_dir())):
            return _retried(base, lambda: Path(snapshot_download(base, allow_patterns=_WANTED)))
    except Exception as error:
        raise TrainerError(
            f"cannot get the base model {base} from ModelScope: {error}. Check the name and the "
            "network: MODELSCOPE_DOMAIN names a mirror, MODEL_SOURCE=huggingface uses the other "
            "hub. Or set the recipe's base to a folder with the model."
        ) from error


def _retried(base: str, download: Callable[[], Path]) -> Path:
    """Call `download`, and after pauses again if the network or the hub failed."""
    for pause_s in PAUSES_S:
        try:
            return download()
        except Exception as error:
            if is_final(error):
                raise
            first = str(error).strip().partition("\n")[0][:300]
            log.warning(
                "downloading %s failed (%s: %s); it is resumed in %.0f s",
                base,
                type(error).__name__,
                first,
                pause_s,
            )
            time.sleep(pause_s)
    return download()


def is_final(error: Exception) -> bool:
    """True if another try would fail the same way. Libraries wrap the hub's error in their own, so
    its causes are looked at too.
    """
    cause: BaseException | None = error
    while cause is not None:
        status = getattr(getattr(cause, "response", None), "status_code", None)
        full = isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EACCES)
        if full or status in _FINAL_STATUS or type(cause).__name__ in _FINAL_NAMES:
            return True
        scheme = isinstance(cause, ValueError) and "proxy URL" in str(cause)
        if isinstance(cause, ImportError) or scheme or type(cause).__name__ in _WRONG_PROXY:
            return True
        cause = cause.__cause__ or cause.__context__
    return False


@contextmanager
def _progress_logged(base: str, cache: Path) -> Iterator[None]:
    """Without a terminal, log every ten seconds by how much the cache has grown."""
    if sys.stderr.isatty():
        yield
        return
    before, began = _size_bytes(cache), time.monotonic()

    def said() -> str:
        fetched = max(0, _size_bytes(cache) - before)
        rate = fetched / (time.monotonic() - began) / 2**20
        return f"{fetched / 2**30:.2f} GiB so far, {rate:.1f} MiB/s"

    with Progress(f"downloading {base}") as progress, progress.part(said):
        yield


def _size_bytes(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += 0 if path.is_symlink() else path.stat().st_size
        except OSError:  # renamed or removed by the download meanwhile
            continue
    return total
