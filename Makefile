# Two commands on a fresh machine: `make train` and `make test`. Each makes the environment that it needs.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory

# The first interpreter that runs and is new enough.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python3.10; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null && { echo $$p; break; }; done)
CONFIG ?= configs/digits.yaml
PYTHON_PARITY ?= .venv-parity/bin/python
PYTHON_BENCH ?= .venv/bin/python
# More words for the benchmarks that compile networks: BENCH=--no-compile
BENCH ?=
# For `make gpu`: an interpreter that has CuPy, and PyTorch to compare with; or CUDA=cuda12 for drivers of CUDA 12.
PYTHON_GPU ?= .venv-gpu/bin/python
CUDA ?= cuda13
GPU_OUTPUT ?= gpu-results
FUZZ_SECONDS ?= 60
# What `make test` runs on the emulated GPU; EMULATED=tests is all of it, twenty minutes.
EMULATED ?= tests/kernels tests/training/test_cuda_graphs.py
PARITY_REQUIREMENTS = torch==2.13.0 torchvision==0.28.0 expecttest scipy

EPOCHS ?= 3

.PHONY: help train finetune inspect-conv compare test lint parity bench bench-all gpu reliability fuzz clean

help:
	@echo "make train    install, then train $(CONFIG) and print the test accuracy"
	@echo "make finetune teach a network that knows the digits 0 to 4 the others, from few images"
	@echo "make inspect-conv  what a convolution costs, and its depthwise-separable replacement; ARGS=... for another one"
	@echo "make compare  train a standard and a separable network on Fashion-MNIST for EPOCHS=3, and compare them;"
	@echo "              downloads 31 MB, unless DATA=FOLDER has the four files"
	@echo "make test     run the tests, in an environment of their own"
	@echo "make lint     check style and types"
	@echo "make parity   compare with PyTorch (PYTHON_PARITY=..., by default an environment made for it)"
	@echo "make bench    measure, beside PyTorch where PYTHON_BENCH=... has it; loader and epochs too with DATA=FOLDER"
	@echo "make bench-all  evaluation and a busy core too (benchmarks/README.md says more)"
	@echo "make gpu      all that there is to find out on an NVIDIA GPU, in under ten minutes, written to $(GPU_OUTPUT)/;"
	@echo "              how long CIFAR-10 takes to 94 % too with DATA=FOLDER, PyTorch where PYTHON_GPU=... has it"
	@echo "make reliability  run the tests of kills, full disks and damaged files at full count (half an hour)"
	@echo "make fuzz     search the readers of files for inputs that break them, FUZZ_SECONDS=60 each"
	@echo "make clean    remove the environments and caches; runs stay"

train: .venv/installed
	@.venv/bin/tinytrain train $(CONFIG)

finetune: .venv/installed runs/digits-0-4/summary.json
	@.venv/bin/tinytrain finetune configs/digits-finetune.yaml --weights runs/digits-0-4

runs/digits-0-4/summary.json: | .venv/installed
	@.venv/bin/tinytrain train configs/digits.yaml name=digits-0-4 'data.keep_classes=["0", "1", "2", "3", "4"]' \
		--run-dir $(@D) $(if $(wildcard $(@D)/checkpoint),--resume)

inspect-conv: .venv/installed
	@.venv/bin/tinytrain inspect-conv $(ARGS)

compare: .venv/installed runs/compare-separable/summary.json runs/compare-standard/summary.json
	@.venv/bin/tinytrain compare runs/compare-separable runs/compare-standard

runs/compare-separable/summary.json: configs/fashion-mnist.yaml | .venv/installed
runs/compare-standard/summary.json: configs/fashion-mnist-standard.yaml | .venv/installed
runs/compare-%/summary.json:
	@.venv/bin/tinytrain train $< train.epochs=$(EPOCHS) --run-dir $(@D) $(if $(wildcard $(@D)/checkpoint),--resume) \
		$(if $(DATA),data.root=$(DATA),data.download=true)

# Without ARGS, the GPU's kernels and captured steps run on the emulated GPU first.
test: .venv-dev/installed
	@$(if $(ARGS),,TINYTRAIN_EMULATED_GPU=1 .venv-dev/bin/python -m pytest -q -n auto --dist loadfile -m gpu $(EMULATED))
	@.venv-dev/bin/python -m pytest -q -n auto --dist loadfile --ignore tests/parity $(ARGS)

lint: .venv-dev/installed
	@.venv-dev/bin/ruff check .
	@.venv-dev/bin/ruff format --check .
	@.venv-dev/bin/mypy

parity: $(if $(filter .venv-parity/bin/python,$(PYTHON_PARITY)),.venv-parity/installed)
	@$(PYTHON_PARITY) -c 'import torch, torchvision' || \
		{ echo "error: $(PYTHON_PARITY) has no torch and torchvision: make parity compares with them" >&2; exit 2; }
	@$(PYTHON_PARITY) -m pytest -q tests/parity $(ARGS)

bench bench-all: $(if $(filter .venv/bin/python,$(PYTHON_BENCH)),.venv/installed)
	@$(PYTHON_BENCH) benchmarks/startup.py
	@$(PYTHON_BENCH) benchmarks/train_step.py $(BENCH)
	@$(PYTHON_BENCH) benchmarks/memory.py
	@$(PYTHON_BENCH) benchmarks/overhead.py
	@$(PYTHON_BENCH) benchmarks/small_costs.py
	@$(if $(DATA),$(PYTHON_BENCH) benchmarks/loading.py $(DATA))
	@$(if $(DATA),$(PYTHON_BENCH) benchmarks/epochs.py $(DATA))
	@$(if $(filter bench-all,$@),$(PYTHON_BENCH) benchmarks/inference.py $(BENCH))
	@$(if $(filter bench-all,$@),$(PYTHON_BENCH) benchmarks/busy.py)

gpu: $(if $(filter .venv-gpu/bin/python,$(PYTHON_GPU)),.venv-gpu/installed)
	@$(PYTHON_GPU) benchmarks/gpu.py --output $(GPU_OUTPUT) $(if $(DATA),--data $(DATA))

reliability: .venv-dev/installed
	@TINYTRAIN_RELIABILITY=full .venv-dev/bin/python -m pytest -q tests/reliability $(ARGS)

fuzz: .venv-fuzz/installed
	@for reader in yaml weights idx image; do \
		echo "$$reader, $(FUZZ_SECONDS) seconds" >&2; \
		.venv-fuzz/bin/python fuzz/readers.py $$reader -max_total_time=$(FUZZ_SECONDS) -verbosity=0 || exit 1; \
	done

clean:
	rm -rf .venv .venv-dev .venv-parity .venv-fuzz .venv-gpu build *.egg-info .pytest_cache .mypy_cache .ruff_cache

.venv/installed: EXTRAS :=
.venv-dev/installed: EXTRAS := [dev]
.venv-parity/installed: EXTRAS := [dev]
.venv-fuzz/installed: EXTRAS := [dev,fuzz]
.venv-gpu/installed: EXTRAS = [dev,$(CUDA)]

# Made again when the package's needs or the native kernels change. The mark comes last, so that an install that failed is
# tried again.
BUILT_FROM = pyproject.toml setup.py $(wildcard tinytrain/kernels/native/src/*)

.venv/installed .venv-dev/installed .venv-parity/installed .venv-fuzz/installed .venv-gpu/installed: %/installed: $(BUILT_FROM)
	@test -n "$(PYTHON)" || { echo "error: no Python 3.10 or newer found; name one with PYTHON=..." >&2; exit 2; }
	@echo "Installing into $* (once)" >&2
	@test -x $*/bin/python || $(PYTHON) -m venv $*
	@$*/bin/python -m pip install --quiet --disable-pip-version-check --no-compile -e ".$(EXTRAS)" \
		$(if $(filter .venv-parity,$*),$(PARITY_REQUIREMENTS))
	@touch $@
