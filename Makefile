# Asman from a clone. `make run` and `make test` set up what they need themselves; `make help` lists everything.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help run test lint format sim chaos fuzz engines bench web site clean setup dev constraints compile pure

help: ## list these targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

run: ## start a hub and a worker here, run an example job, stay up (ONCE=1: end after the job; PORT=n DATA=dir)
	@bash scripts/setup.sh run
	@.venv/bin/python -m scripts.run

test: ## lint, then all tests (PYTEST="-k name -x" for arguments)
	@bash scripts/setup.sh dev
	@bash scripts/lint.sh
	@bash scripts/test.sh $(PYTEST)

SEEDS ?= 1000
sim: ## play SEEDS=1000 simulated runs, then hunt the planted bugs
	@bash scripts/setup.sh dev
	@.venv/bin/python -m tests.simulation --seeds $(SEEDS)
	@.venv/bin/python -m tests.simulation --mutants --seeds 400

MINUTES ?= 20
fuzz: ## feed mutated inputs to every door for MINUTES=20 in all, then hunt the planted faults (SEED=n DOOR=name)
	@bash scripts/setup.sh dev
	@.venv/bin/python -m tests.fuzz --minutes $(MINUTES) $(if $(SEED),--seed $(SEED)) $(if $(DOOR),--door $(DOOR))
	@.venv/bin/python -m tests.fuzz --mutants --minutes $(MINUTES) $(if $(DOOR),--door $(DOOR))

ENGINES ?= toil snakemake
engines: ## run workflow engines from the package index to their end on a hub with containers (ENGINES=toil)
	@bash scripts/setup.sh dev
	@bash scripts/door_clients.sh engines $(ENGINES)
	@.venv/bin/python -m tests.engines $(ENGINES)

SECONDS ?= 60
chaos: ## kill, freeze and cut off real processes under load, on SQLite and Postgres (SECONDS=60 each, SEED=n)
	@bash scripts/setup.sh dev
	@.venv/bin/python -m tests.chaos --seconds $(SECONDS) $(if $(SEED),--seed $(SEED))

ROUNDS ?= 10
bench: ## measure into bench/results/ (NAME=depth for one scenario alone; COMPARE=commit ROUNDS=10 beside that commit)
	@bash scripts/setup.sh dev
ifeq ($(COMPARE),)
	@case "$(NAME)" in ""|throughput|latency) bash scripts/peers.sh ;; esac
	@.venv/bin/python -m bench $(NAME)
else
	@.venv/bin/python -m bench.commits --rounds '$(ROUNDS)' -- '$(COMPARE)' $(NAME)
endif

lint: ## ruff, strict mypy, import-linter, the page's types
	@bash scripts/setup.sh dev
	@bash scripts/lint.sh

format: ## put the source into the form that lint asks for
	@.venv/bin/python -m ruff check --fix --exit-zero . && .venv/bin/python -m ruff format .

web: ## build the page into the hub
	@bash scripts/setup.sh run
	@bash scripts/web.sh dev

site: ## write the documentation into the hub, which serves it at /docs
	@bash scripts/setup.sh run
	@.venv/bin/python -m build_tools.site

setup: ## install what all the others need, and nothing else
	@bash scripts/setup.sh dev

dev: ## hub, worker and page with live reload of all three (PORT=n)
	@bash scripts/setup.sh dev
	@.venv/bin/python -m scripts.dev

constraints: ## resolve all dependencies again into constraints.txt
	@bash scripts/constraints.sh

compile: ## compile the modules that every job passes through (the hub runs without that, too)
	@bash scripts/setup.sh dev

pure: ## go back to the sources alone
	@.venv/bin/python -m build_tools.compiled remove

clean: ## remove what the others made here
	@bash scripts/clean.sh
