"""Publish in one step: a directory named by its digest, the contract last, then the link `current`.

A reader that follows `current` finds a complete model or none. An interrupted publication leaves a
`.new-*` directory, which the next one removes. A model that verification refused waits in
`.refused-*`.
"""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

from contract import CONTRACT_FILE, Contract
from contract.published import VERIFICATION_FILE, Published, list_published, make_current, sync
from contract.tenancy import AT_WORK, what_trains
from trainer.errors import TrainerError

# not CONTRACT_FILE: a folder with that file counts as published
REFUSED_CONTRACT = "contract.refused.json"


def published(models_dir: Path, name: str, digest: str) -> bool:
    return (models_dir / name / digest / CONTRACT_FILE).is_file()


def staging_path(models_dir: Path, name: str, digest: str) -> Path:
    return models_dir / name / f".new-{digest}"


def staging_dir(models_dir: Path, name: str, digest: str) -> Path:
    """A fresh, empty directory on the models volume, to be filled and handed to `publish`."""
    directory = staging_path(models_dir, name, digest)
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    return directory


def publish(staged: Path, contract: Contract) -> Path:
    """Move `staged` into place with its contract and point `current` at it."""
    for path in staged.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
        sync(path)
    (staged / CONTRACT_FILE).write_bytes(contract.dump())
    sync(staged / CONTRACT_FILE)
    sync(staged)
    target = staged.parent / contract.digest
    shutil.rmtree(target, ignore_errors=True)  # without a contract it was never published
    staged.rename(target)
    make_current(target)
    return target


def refused(staged: Path, contract: Contract, report: Path) -> TrainerError:
    """Set `staged` aside for `publish_refused`, and return the error to raise."""
    kept = staged.with_name(f".refused-{contract.digest}")
    shutil.rmtree(kept, ignore_errors=True)
    (staged / REFUSED_CONTRACT).write_bytes(contract.dump())
    staged.rename(kept)
    faults = "".join(f"  {fault}\n" for fault in contract.provenance.despite)
    return TrainerError(
        f"the saved model differs from the trained one and was not published:\n{faults}"
        f"The whole comparison is in {report}. Checkpoint and adapter are kept; the model is in "
        f"{kept}. `python -m trainer publish --despite {report}` publishes it as it is. Trainer "
        "and server must have the same transformers major; float16 may need a smaller lora.alpha."
    )


def publish_refused(models_dir: Path, report: Path) -> Path:
    """Publish the model that `report`, a run's verification, refused.

    Raises:
        TrainerError: there is no such report, or its model is gone.
    """
    run_dir = report.resolve().parent
    kept = models_dir / run_dir.parent.name / f".refused-{run_dir.name}"
    if not report.is_file() or report.name != VERIFICATION_FILE:
        raise TrainerError(
            f"{report} is not a verification report: give the report of the refused run, "
            "RUNS_DIR/NAME/DIGEST/" + VERIFICATION_FILE
        )
    try:
        contract = Contract.model_validate_json((kept / REFUSED_CONTRACT).read_bytes())
    except FileNotFoundError:
        raise TrainerError(
            f"{kept} holds no refused model: it was published or removed. `python -m trainer run` "
            "with the same recipe makes it again from its last checkpoint"
        ) from None
    target = publish(kept, contract)
    (target / REFUSED_CONTRACT).unlink()
    shutil.rmtree(run_dir / "checkpoints", ignore_errors=True)
    return target


def find_published(models_dir: Path, digest: str) -> Published:
    """The one model whose digest begins with `digest`.

    Raises:
        TrainerError: there is no such model, or there are several.
    """
    models = list_published(models_dir)
    found = [model for model in models if model.contract.digest.startswith(digest)]
    if len(found) != 1:
        there = ", ".join(f"{m.contract.model} {m.contract.digest}" for m in found or models)
        raise TrainerError(
            f"{len(found) or 'no'} published models have a digest that begins with {digest!r}; "
            f"{'they are' if found else 'the published ones are'}: {there or 'none'}"
        )
    return found[0]


def prune(models_dir: Path, keep: int) -> list[Published]:
    """Remove all but the `keep` newest models of each name, and never a current one. Leftovers of
    interrupted publications and refused models go too, unless a trainer is at work: it fills one of
    them. Returns the published models removed.
    """
    removed, kept = [], Counter[str]()
    for model in list_published(models_dir):
        kept[model.contract.model] += 1
        if kept[model.contract.model] > keep and not model.current:
            # first the contract: without it the model no longer counts as published, even if the
            # rest fails
            (model.directory / CONTRACT_FILE).unlink()
            shutil.rmtree(model.directory)
            removed.append(model)
    if what_trains(models_dir) == AT_WORK:
        return removed
    for pattern in ("*/.new-*", "*/.refused-*"):
        for leftover in models_dir.glob(pattern):
            shutil.rmtree(leftover)
    return removed
