# Everything here needs git, make and Python >= 3.11; the rest is fetched into .venv.
# As root, whatever runs PostgreSQL is handed to an unprivileged account (tools/unprivileged.py).

SHELL := /bin/sh
.DEFAULT_GOAL := help

ifndef PYTHON
PYTHON := $(shell \
  for modules in "ssl, sqlite3, ensurepip" "ssl, sqlite3"; do \
    for python in python3 python3.14 python3.13 python3.12 python3.11 python; do \
      if "$$python" -c "import sys, $$modules; sys.exit(sys.version_info < (3, 11))" 2>/dev/null; \
      then echo "$$python"; exit; fi; \
    done; \
  done)
endif
ifeq ($(PYTHON),)
$(error hae needs Python >= 3.11 (with ssl and sqlite3) on PATH, or make PYTHON=/path/to/python3)
endif

RUN := .venv/bin/python
PYTEST := $(RUN) -m pytest
# Only the layers that exist, so that a target never fails for an empty folder.
LAYOUT := $(wildcard tests/unit/test_layout.py tests/tools/test_docs.py)
# A minute of the simulator, by seeds that each commit draws for itself, so that whoever repeats a
# test repeats its runs. The first and the last line name them.
FRESH_SEEDS := $(RUN) -m proof.simulator --of-commit --runs 1000000 --seconds 60
layer = $(wildcard $(addprefix tests/,$(1)))

# Options of the benchmark: make bench BENCH=switchover RUNS=5 IMPLEMENTATIONS=hae,patroni
# RUNS is also how many seeds `make sim` runs.
BENCH ?= all
RUNS ?= 5
IMPLEMENTATIONS ?= hae,patroni
RESULTS ?= build/bench

.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | sort -u | \
	  awk -F'|' '{printf "%-20s %s\n", $$1, $$2}'

AS_ACCOUNT := demo demo-once test check unit properties scenarios stores fence e2e mixed bench-setup bench

ifeq ($(shell id -u),0)

.PHONY: $(AS_ACCOUNT)
$(filter-out bench,$(AS_ACCOUNT)):
	@SIM_REVISION="$$(git describe --always --dirty=+ 2>/dev/null)" \
	  $(PYTHON) -m tools.unprivileged $@
bench:
	@$(PYTHON) -m tools.unprivileged bench; ended=$$?; \
	$(PYTHON) -m tools.unprivileged --fetch $(RESULTS); \
	$(PYTHON) -m tools.unprivileged --fetch docs/benchmarks.md; exit $$ended

else

.PHONY: demo demo-once
demo: .venv/ready ## three nodes on this machine: watch a failover, then play; Ctrl-C ends it
	@$(RUN) -m demo
demo-once: .venv/ready ## the same once through, for CI: exits 0 when everything held
	@$(RUN) -m demo --once

.PHONY: test check unit properties scenarios stores fence e2e mixed
test: check ## everything that must pass: check and every test that needs no Patroni
	$(PYTEST) -n 2 --dist loadgroup tests --ignore tests/mixed
	$(FRESH_SEEDS)
check: .venv/ready ## formatting, lint, strict types, layout of the code, drift of generated docs
	$(RUN) -m ruff format --check .
	$(RUN) -m ruff check .
	$(RUN) -m mypy
	$(if $(LAYOUT),$(PYTEST) -q $(LAYOUT))
unit: .venv/ready ## fast tests of single parts
	$(PYTEST) $(call layer,unit)
properties: .venv/ready ## Hypothesis: what must hold for every snapshot
	$(PYTEST) $(call layer,properties)
scenarios: .venv/ready ## recorded snapshots through today's rules
	$(PYTEST) $(call layer,scenarios)
stores: .venv/ready ## every store adapter against its real server
	$(PYTEST) $(call layer,stores)
fence: .venv/ready ## the fence process against a real PostgreSQL
	$(PYTEST) $(call layer,fence)
e2e: .venv/ready ## real clusters on PostgreSQL 15, 16 and 18
	$(PYTEST) $(call layer,e2e)
mixed: bench-setup ## real clusters that hae shares with Patroni from PyPI
	$(PYTEST) $(call layer,mixed)

.PHONY: bench-setup bench
bench-setup: .venv/ready build/patroni/ready ## Patroni in an environment of its own, for bench and mixed
bench: bench-setup ## hae against Patroni: BENCH=case RUNS=5 IMPLEMENTATIONS=hae,patroni
	$(RUN) -m bench --case $(BENCH) --runs $(RUNS) --implementations $(IMPLEMENTATIONS) \
	  --results $(RESULTS); ended=$$?; \
	$(RUN) -m bench.report $(RESULTS) docs/benchmarks.md; exit $$ended

endif

.PHONY: sim sim-compiled sim-ci scenario
DRAWN = $(if $(SEED),--seed $(SEED)) $(if $(PACE),--pace $(PACE)) $(if $(ONLY),--only $(ONLY))
sim: .venv/ready ## the simulator: SEED=N RUNS=1000 (one run tells of every event; KEEP=file: to go on)
	$(RUN) -m proof.simulator $(DRAWN) \
	  $(if $(filter-out 1,$(RUNS)),--runs $(RUNS) $(if $(KEEP),--keep $(KEEP)),-v)
sim-compiled: .venv/ready ## the same compiled, for batches; needs gcc and minutes: SEED=N RUNS=100000
	$(RUN) -m tools.compiled $(DRAWN) --runs $(if $(filter-out 5,$(RUNS)),$(RUNS),1000) \
	  $(if $(KEEP),--keep $(abspath $(KEEP)))
sim-ci: .venv/ready ## a minute of fresh seeds on all cores, and every kept story
	$(PYTEST) -q tests/proof/test_simulator.py
	$(FRESH_SEEDS)
scenario: .venv/ready ## shrink a failing seed and keep it as a story: SEED=N NAME=what-must-hold
	$(RUN) -m proof.simulator $(DRAWN) --save $(NAME)

.PHONY: search search-all search-ci
.PHONY: docs rewrite format servers clean coverage bench-decide gallery mutation mutation-answers
mutation: .venv/ready ## try the engine's mutants, into docs/mutants.md: MODULES=engine/quorum.py SAMPLE=200
	$(RUN) -m tests.mutation $(MODULES) $(if $(SAMPLE),--sample $(SAMPLE)) $(if $(QUICK),--quick) $(if $(AGAIN),--again) $(if $(DEEP),--deep)
mutation-answers: .venv/ready ## find answers of facts that tell mutants that lived from the engine
	$(RUN) -m tests.mutation.witness $(MODULES)
gallery: .venv/ready ## make every mistake of the gallery, and tell who caught it in docs/gallery.md
	$(RUN) -m tests.gallery
bench-decide: .venv/ready ## how long decide() and explain() take, into docs/decision-speed.md
	$(RUN) -m bench.decision
# The pairs of changes say nothing new about what is reached, and tracing would make them slow.
coverage: .venv/ready ## every line and branch of engine/ is reached by the fast tests, or it fails
	$(PYTEST) -q -p no:randomly --hypothesis-seed=1 --cov --cov-report=term-missing:skip-covered \
	  -k "not no_pair_of_changes" \
	  $(call layer,unit/engine properties scenarios)
search: .venv/ready ## walk through every state of small worlds (WORLDS="freeze pause": only these)
	$(RUN) -m proof.search $(WORLDS)
search-all: .venv/ready ## the same with the larger worlds: hours, and 6 GB of memory
	$(RUN) -m proof.search --all
search-ci: .venv/ready ## the same for smaller worlds, and that planted mistakes are found
	$(PYTEST) -q tests/proof/test_search.py
docs: .venv/ready ## rewrite the generated pages (docs/decision-table.md)
	$(RUN) -m tools.docs
rewrite: .venv/ready ## record the scenarios' outcomes again; review the difference
	$(PYTEST) -q $(call layer,scenarios) --rewrite
format: .venv/ready ## let ruff format and mend what it can
	$(RUN) -m ruff format .
	$(RUN) -m ruff check --fix .
servers: .venv/ready ## add Debian's PostgreSQL 15 and etcd 3.4 for the tests, where apt is there
	$(RUN) -m tools.servers install
clean: ## remove what make created in this folder
	rm -rf .venv .servers build .mypy_cache .pytest_cache .ruff_cache .hypothesis

.PHONY: venv
venv: .venv/ready ## only create .venv with hae and all that its tests need

.venv/ready: pyproject.toml tools/venv.py
	@echo "Installing into .venv (about a minute the first time)"
	@$(PYTHON) -m tools.venv .venv --editable '.[dev,servers]'
	@touch $@

build/patroni/ready: bench/patroni-requirements.txt tools/venv.py
	@$(PYTHON) -m tools.venv build/patroni --requirement bench/patroni-requirements.txt
	@touch $@
