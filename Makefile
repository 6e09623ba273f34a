# Each target does its own set-up in .venv and a second run reuses it. `make help` lists them.
#
#   PYTHON=python3.12   the interpreter to build .venv with (3.11 or newer)
#   TORCH_INDEX=URL     the package index to take torch from, e.g. https://download.pytorch.org/whl/cpu on Linux without a GPU

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
PY := $(BIN)/python
PIP := $(PY) -m pip --disable-pip-version-check --quiet
CXX_COMMAND := $(if $(filter default undefined,$(origin CXX)),,$(CXX))
NATIVE_SOURCES := CMakeLists.txt $(shell find native -type f 2>/dev/null)

# Work on small tensors is slower on many threads, and tests compare bits: one thread unless the caller says otherwise.
TEST_THREADS ?= 1
COUNT ?= 20000
# Of `make fuzz`: mutated files and runs of the fuzzer that is guided by coverage.
MUTANTS := $(if $(filter file,$(origin COUNT)),100000,$(COUNT))
RUNS ?= 1000000
CLANG ?= clang++
GRAPHS ?= $(if $(filter file,$(origin COUNT)),100000,$(COUNT))
KILLS ?= 20
PREFIX ?= build/c/prefix
ARGS ?=

.PHONY: help demo test lint bench docs fuzz kill sanitize emulate c setup native clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' Makefile

demo: setup ## train a network of bits on real digits, pack it, run it natively, report (ARGS="--data mnist" for others)
	@$(BIN)/onebit demo $(ARGS)

test: setup $(VENV)/.extra-test ## all tests and the examples in the docstrings (ARGS="tests/ir -k conv" for some)
	@OMP_NUM_THREADS=$(TEST_THREADS) $(PY) -m pytest -n auto --dist worksteal $(or $(ARGS),tests src)

lint: setup $(VENV)/.extra-lint ## ruff, mypy, import-linter
	@$(BIN)/ruff check src tests
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

bench: setup ## time the engine against its ceiling, PyTorch and ONNX Runtime (ARGS="--quick" and others)
	@$(BIN)/onebit bench engine $(ARGS)

docs: setup $(VENV)/.extra-docs ## build the documentation into site/
	@$(BIN)/onebit plot operators --output docs/operators.svg
	@$(BIN)/onebit plot operators --output docs/operators
	@$(BIN)/mkdocs build --strict --quiet && echo "Documentation: site/index.html"

fuzz: setup $(VENV)/.extra-test ## 100,000 mutated files into the loader, also under libFuzzer; 100,000 random graphs through passes and engine (COUNT=, GRAPHS=)
	@OMP_NUM_THREADS=1 $(PY) -m tests.runtime.mutate --count $(MUTANTS)
	@OMP_NUM_THREADS=1 $(PY) -m tests.runtime.hostile
	@mkdir -p build/guided/corpus build/guided/seeds; PATH="$$PATH:$(CURDIR)/$(BIN)"; \
	if ! printf 'extern "C" int LLVMFuzzerTestOneInput(const unsigned char*, unsigned long) { return 0; }' | \
	  $(CLANG) -fsanitize=fuzzer -x c++ - -o build/guided/probe 2>/dev/null; then \
	  echo "Loader under libFuzzer: left out, because $(CLANG) is not there or has no libFuzzer (Debian, Ubuntu: clang)"; \
	else \
	  cmake -S . -B build/guided -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DCMAKE_CXX_COMPILER=$(CLANG) -DONEBIT_PYTHON=OFF \
	    -DONEBIT_TESTS=OFF -DONEBIT_C=OFF -DONEBIT_FUZZ=ON -DONEBIT_SANITIZE=ON > build/guided/log 2>&1 && \
	  cmake --build build/guided --target fuzz_guided >> build/guided/log 2>&1 || { cat build/guided/log >&2; exit 1; }; \
	  $(PY) -m tests.runtime.mutate --seeds build/guided/seeds && \
	  build/guided/fuzz_guided build/guided/corpus build/guided/seeds -runs=$(RUNS) -max_len=8192 -timeout=60 \
	    -artifact_prefix=build/guided/ -print_final_stats=1 > build/guided/log 2>&1 || { tail -n 60 build/guided/log >&2; exit 1; }; \
	  echo "Loader and run under libFuzzer: $(RUNS) runs,$$(grep -o ' cov: [0-9]*' build/guided/log | tail -n 1) edges, no finding"; \
	fi
	@OMP_NUM_THREADS=1 $(PY) -m tests.fuzz --count $(GRAPHS)

kill: setup $(VENV)/.extra-test ## training, sweeps, packing, export killed KILLS times each in random moments, and started again
	@OMP_NUM_THREADS=1 ONEBIT_KILLS=$(KILLS) $(PY) -m pytest tests/kill

# A finding ends the program that made it, and so make; what is not freed is a finding. Loading uses one thread.
sanitize: setup $(VENV)/.extra-test ## engine, loader, C interface under the address, undefined-behaviour and thread sanitizers
	@$(PY) -m tests.engine.files build/sanitize/files --count 200
	@set -e; export ASAN_OPTIONS=detect_leaks=1; for kind in address,undefined thread; do \
	  folder=build/sanitize/$${kind%,*}; \
	  PATH="$(CURDIR)/$(BIN):$$PATH" cmake -S . -B $$folder -G Ninja -DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_FLAGS_DEBUG="-O1 -g" \
	    -DONEBIT_PYTHON=OFF -DONEBIT_SANITIZE=$$kind > $$folder.log 2>&1 || { cat $$folder.log >&2; exit 1; }; \
	  PATH="$(CURDIR)/$(BIN):$$PATH" cmake --build $$folder --target onebit_driver fuzz_load c_interface; \
	  echo "Under -fsanitize=$$kind:"; \
	  $$folder/onebit_driver build/sanitize/files/*.onebit; \
	  $$folder/c_interface build/sanitize/files/*.onebit; \
	done
	@$(PY) -m tests.runtime.mutate --emit --count $(COUNT) | build/sanitize/address/fuzz_load - > build/sanitize/verdicts.txt
	@echo "Loader: $$(wc -l < build/sanitize/verdicts.txt) mutated files read under -fsanitize=address,undefined, no finding"

emulate: setup $(VENV)/.extra-test ## the engine on old x86 processors and, where a compiler for it is there, aarch64, under QEMU
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(PY) -m tests.engine.emulate $(ARGS)

c: ## the C library, its header and its example, without Python; installed under PREFIX=build/c/prefix
	@mkdir -p build; PATH="$$PATH:$(CURDIR)/$(BIN)"; \
	command -v cmake >/dev/null || { echo "make: CMake is needed; on Debian and Ubuntu install cmake" >&2; exit 1; }; \
	cmake -S . -B build/c -DONEBIT_TESTS=OFF > build/c.log 2>&1 || { cat build/c.log >&2; exit 1; }; \
	MAKEFLAGS= cmake --build build/c --parallel $$(getconf _NPROCESSORS_ONLN) && cmake --install build/c --component c --prefix "$(PREFIX)" && \
	$(CC) -std=c99 -O2 -Inative/include native/examples/classify.c -o build/c/classify -Lbuild/c -lonebit -lm \
	  -Wl,-rpath,"$(CURDIR)/build/c" && echo "Example: build/c/classify NETWORK.onebit PICTURE.pgm"

setup: native ## virtual environment, pinned packages, native build

native: $(VENV)/.native ## build the engine (again where its sources changed)

clean: ## remove everything that make built, the virtual environment included
	rm -rf $(VENV) build dist site .mypy_cache .ruff_cache .import_linter_cache .pytest_cache .hypothesis .benchmarks
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

# --- set-up, one stamp a step -------------------------------------------------------------------------------------------

$(VENV)/.created:
	@python="$(PYTHON)"; \
	if [ -z "$$python" ]; then for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	  if $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python=$$p; break; fi; done; fi; \
	if [ -z "$$python" ]; then \
	  echo "make: Python 3.11 or newer is needed and none was found on the PATH; name one with PYTHON=/path/to/python3" >&2; exit 1; fi; \
	if ! $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	  echo "make: PYTHON=$$python is not a Python 3.11 or newer" >&2; exit 1; fi; \
	if ! $$python -c 'import ensurepip, venv' 2>/dev/null; then \
	  echo "make: $$python cannot make virtual environments; on Debian and Ubuntu install the package python3-venv" >&2; exit 1; fi; \
	echo "Setting up $(VENV) with $$($$python --version)"; \
	$$python -m venv $(VENV)
	@touch $@

# torch first and alone, so that no other package pulls another build of it.
$(VENV)/.torch: $(VENV)/.created constraints.txt
	@echo "Installing torch (the largest download)"
	@$(PIP) install -c constraints.txt $(if $(TORCH_INDEX),--no-deps --index-url $(TORCH_INDEX)) torch
	@touch $@

# Requirements of one part of pyproject.toml: "build", or the name of an extra.
REQUIREMENTS = $(PY) -c 'import sys, tomllib; p = tomllib.load(open("pyproject.toml", "rb")); r = p["project"]; x = sys.argv[1]; \
  print(*(["cmake", "ninja", *p["build-system"]["requires"], *r["dependencies"]] if x == "build" else r["optional-dependencies"][x]), sep="\n")'

$(VENV)/.extra-%: $(VENV)/.torch constraints.txt pyproject.toml
	@echo "Installing the packages for: $*"
	@$(REQUIREMENTS) $* > $(VENV)/requirements-$*.txt
	@$(PIP) install -c constraints.txt -r $(VENV)/requirements-$*.txt
	@touch $@

$(VENV)/.native: $(VENV)/.extra-build $(VENV)/.extra-train $(NATIVE_SOURCES) pyproject.toml
	@compiler="$(CXX_COMMAND)"; \
	if [ -z "$$compiler" ]; then for c in c++ g++ clang++; do \
	  if command -v $$c >/dev/null 2>&1; then compiler=$$c; break; fi; done; fi; \
	if [ -z "$$compiler" ]; then \
	  echo "make: a C++20 compiler is needed and none was found (c++, g++, clang++); on Debian and Ubuntu install g++" >&2; exit 1; fi; \
	if ! printf '#include <span>\n#if __cplusplus < 202002L\n#error\n#endif\nint main() { return 0; }\n' | \
	  $$compiler -std=c++20 -x c++ - -o /dev/null 2>/dev/null; then \
	  echo "make: $$compiler does not compile C++20 (GCC 12 does); name another with CXX=..." >&2; exit 1; fi; \
	echo "Building the native engine"; \
	PATH="$(CURDIR)/$(BIN):$$PATH" CXX="$$compiler" $(PIP) install --no-build-isolation --no-deps -e .
	@touch $@

.PRECIOUS: $(VENV)/.extra-%
