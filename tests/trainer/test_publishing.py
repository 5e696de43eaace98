"""Published models are listed, made current again, and pruned."""

from pathlib import Path

import pytest

from contract import CONTRACT_FILE
from contract.published import Published, list_published, make_current
from contract.tenancy import trainer_at_work
from contracts import make_contract
from trainer.errors import TrainerError
from trainer.publishing.publish import (
    find_published,
    prune,
    publish,
    staging_dir,
)


def publish_one(models: Path, digest: str, day: int, name: str = "m") -> Path:
    contract = make_contract(digest).model_copy(update={"model": name})
    made = contract.provenance.model_copy(update={"created": f"2026-01-{day:02}T00:00:00+00:00"})
    staged = staging_dir(models, name, digest)
    (staged / "model.safetensors").write_bytes(b"x" * 1000)
    (staged / "adapter").mkdir()
    (staged / "adapter" / "adapter_config.json").write_text("{}")
    return publish(staged, contract.model_copy(update={"provenance": made}))


@pytest.fixture
def models(tmp_path: Path) -> Path:
    for day, digest in enumerate(("aaa1", "aab2", "ccc3", "ddd4"), start=1):
        publish_one(tmp_path, digest, day)
    publish_one(tmp_path, "other", 1, name="n")
    return tmp_path


def digests(found: list[Published]) -> list[str]:
    return [model.contract.digest for model in found]


def test_models_are_listed_by_name_newest_first_with_the_current(models: Path) -> None:
    found = list_published(models)
    assert digests(found) == ["ddd4", "ccc3", "aab2", "aaa1", "other"]
    assert digests([model for model in found if model.current]) == ["ddd4", "other"]
    assert found[0].size_bytes > 1002


def test_an_older_model_is_made_current_again(models: Path) -> None:
    make_current(find_published(models, "aab").directory)
    assert (models / "m" / "current").resolve() == (models / "m" / "aab2").resolve()


@pytest.mark.parametrize(
    ("digest", "why"),
    [
        ("aa", "2 published models .* they are: m aab2, m aaa1"),
        ("zz", "no published models .* the published ones are: m ddd4, m ccc3"),
    ],
)
def test_an_ambiguous_digest_is_refused_with_the_candidates(
    models: Path, digest: str, why: str
) -> None:
    with pytest.raises(TrainerError, match=why):
        find_published(models, digest)


def test_pruning_keeps_the_newest_and_the_current(models: Path) -> None:
    make_current(models / "m" / "aaa1")
    staging_dir(models, "m", "half")
    assert digests(prune(models, keep=2)) == ["aab2"]
    assert sorted(path.name for path in (models / "m").iterdir()) == [
        "aaa1",
        "ccc3",
        "current",
        "ddd4",
    ]
    assert (models / "n" / "other" / CONTRACT_FILE).is_file()
    assert prune(models, keep=2) == []


def test_pruning_leaves_what_a_trainer_is_filling(models: Path) -> None:
    staged = staging_dir(models, "m", "half")
    with trainer_at_work(models):
        assert digests(prune(models, keep=3)) == ["aaa1"]
        assert staged.is_dir()
    prune(models, keep=3)
    assert not staged.exists()


def test_the_contract_is_written_last_and_all_files_are_readable(models: Path) -> None:
    target = models / "m" / "ddd4"
    assert all(p.stat().st_mode & 0o044 == 0o044 for p in target.rglob("*"))
    assert (target / "adapter").stat().st_mode & 0o055 == 0o055
    assert not list(models.glob("m/.new-*"))
