# demo, test, lint: each makes the environments it needs. Nothing but Python 3.11 has to be installed.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3.11
UV := .tools/bin/uv
# wheels that pip finds on disk, uv finds too
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)

.PHONY: help demo up-local test test-compose bench-train lint demo-data demo-model requirements clean

help:  ## what there is to make
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /  make \1\t/' | expand -t 22

demo: .venv/ready .venv-model/ready  ## fine-tune, merge, serve and answer problems here, no GPU or Docker (FILE=my.jsonl for your own)
	@.venv/bin/quorum local demo $(if $(FILE),--file "$(FILE)")

up-local: .venv/ready .venv-model/ready  ## the same processes, left running until Ctrl-C, for curl
	@.venv/bin/quorum local up

test: lint .venv-cu12/ready  ## everything but what needs Docker
	.venv/bin/pytest tests/contract tests/demo tests/orchestrator tests/e2e
	.venv-model/bin/pytest tests/trainer tests/inference
	.venv-cu12/bin/pytest tests/trainer

test-compose: .venv/ready  ## build and run the compose stack on a CPU (needs a Docker engine)
	@docker info >/dev/null 2>&1 || { echo "no Docker engine answers: start one, then make test-compose again"; exit 1; }
	.venv/bin/pytest tests/compose

bench-train: .venv-model/ready  ## training speed against the baseline's recipe (DATA=ana.json, instruction rows)
	.venv-model/bin/python bench/train.py --data "$(or $(DATA),examples/demo/train.jsonl)"

lint: .venv/ready .venv-model/ready  ## ruff and mypy strict over every package
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy contract/src services/orchestrator/src tests/contract tests/orchestrator tests/demo tests/e2e tests/compose
	.venv-model/bin/mypy services/trainer/src services/inference/src examples/demo bench tests/trainer tests/inference

demo-data: .venv-model/ready  ## write the demo's puzzle files again (same seed, same bytes)
	cd examples/demo && ../../.venv-model/bin/python puzzles.py train.jsonl:1600 validation.jsonl:60 problems.jsonl:140:plain

demo-model: .venv-model/ready  ## train the demo's base model again (two minutes on an H200, far longer on a CPU)
	.venv-model/bin/python examples/demo/base_model.py --out examples/demo/base

requirements: $(UV)  ## compile the pinned requirements from requirements/*.in
	cd requirements && for stack in orchestrator cpu cu12 cu12-cpu; do \
	  extra=; [ $$stack = cpu ] && extra="--override cpu-overrides.txt"; \
	  ../$(UV) pip compile -q --upgrade --python-version 3.11 --python-platform x86_64-manylinux_2_28 \
	    --no-header --no-annotate $$extra $$stack.in -o $$stack.txt || exit 1; done

clean:  ## remove environments, models, jobs and logs of local mode
	rm -rf .tools .venv .venv-model .venv-cu12 var

$(UV):
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 is needed: install it, or say where it is with PYTHON=..."; exit 1; }
	@echo "making .tools (uv)"
	@$(PYTHON) -m venv .tools || { echo "the venv module is missing: on Debian, apt-get install python3.11-venv"; exit 1; }
	@.tools/bin/python -m pip install -qq --disable-pip-version-check uv==0.13.9

.venv/ready: requirements/orchestrator.txt contract/pyproject.toml services/orchestrator/pyproject.toml | $(UV)
	@echo "making .venv (API, workers, CLI, tests)"
	@$(UV) venv -q --clear --python $(PYTHON) .venv
	@$(UV) pip install -q --python .venv/bin/python --no-deps -r requirements/orchestrator.txt
	@$(UV) pip install -q --python .venv/bin/python --no-deps --no-build-isolation -e contract -e services/orchestrator
	@touch $@

# The trainer's tests run on the cu12 stack's transformers and peft too.
.venv-cu12/ready: requirements/cu12-cpu.txt contract/pyproject.toml services/trainer/pyproject.toml | $(UV)
	@echo "making .venv-cu12 (trainer, with the cu12 stack's transformers)"
	@$(UV) venv -q --clear --python $(PYTHON) .venv-cu12
	@$(UV) pip install -q --python .venv-cu12/bin/python --no-deps -r requirements/cu12-cpu.txt 2>/dev/null || \
	  $(UV) pip install -q --python .venv-cu12/bin/python --no-deps --torch-backend cpu -r requirements/cu12-cpu.txt
	@$(UV) pip install -q --python .venv-cu12/bin/python --no-deps --no-build-isolation -e contract -e services/trainer
	@touch $@

# The CPU build of torch comes from wherever pip already looks; where that fails, from PyTorch's own index.
.venv-model/ready: requirements/cpu.txt contract/pyproject.toml services/trainer/pyproject.toml services/inference/pyproject.toml | $(UV)
	@echo "making .venv-model (trainer and vLLM, cpu stack; about 3 GB)"
	@$(UV) venv -q --clear --python $(PYTHON) .venv-model
	@$(UV) pip install -q --python .venv-model/bin/python --no-deps -r requirements/cpu.txt 2>/dev/null || \
	  $(UV) pip install -q --python .venv-model/bin/python --no-deps --torch-backend cpu -r requirements/cpu.txt
	@$(UV) pip install -q --python .venv-model/bin/python --no-deps --no-build-isolation \
	  -e contract -e services/trainer -e services/inference
	@touch $@
