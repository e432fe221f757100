# Prerequisites: git and make. Everything else is installed by `make setup`, which every other target runs first.
PYTHON := .venv/bin/python
STAMP  := .venv/.installed-$(shell sha256sum requirements.lock | cut -c1-16)

.PHONY: help setup demo test lint lock bench doctor clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(STAMP) ## make the environment in .venv/

$(STAMP): requirements.lock .ci/system.sh
	@.ci/system.sh install
	@.ci/environment.sh requirements.lock $@

demo: setup ## draw people with known truth, learn from them, measure, open the window
	@$(PYTHON) main.py demo $(if $(OUT),--out $(OUT)) $(if $(SIZE),--size $(SIZE))

test: setup ## run all tests (starts its own Xvfb)
	@.ci/with-screen.sh $(PYTHON) -m pytest $(ARGS)

lint: setup ## ruff (format, rules) and pyright (strict)
	@$(PYTHON) -m ruff format --check .
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m pyright

lock: setup ## find the newest versions that fit and write their hashes into requirements.lock
	@.venv/bin/uv pip compile --universal --python-version 3.11 --generate-hashes --upgrade --extra dev --quiet \
		--no-header -o requirements.lock pyproject.toml

bench: setup ## every claim, quickly
	@for script in benchmarks/[a-z]*.py; do .ci/with-screen.sh $(PYTHON) $$script --quick || exit 1; done

doctor: setup ## what this machine has and lacks
	@$(PYTHON) main.py doctor

clean: ## remove the environment and caches
	rm -rf .venv .pytest_cache .ruff_cache
