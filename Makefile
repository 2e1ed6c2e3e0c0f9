# Every target is enough by itself on a machine with Python 3.11+, pip, git and make: what it needs
# is installed into .venv from requirements.lock, once for each content of that file.

PYTHON ?= python3
PY := .venv/bin/python
# The stamp carries the checksum of the lock; without a Python beside it, it says nothing.
LOCKED := .venv/locked-$(firstword $(shell \
  [ -x $(PY) ] || rm -f .venv/locked-*; cksum < requirements.lock))
CORES := $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
WORKERS ?= $(shell [ $(CORES) -gt 4 ] && echo 4 || echo $(CORES))
TESTS ?= tests
KILLS ?= 1000

# Colour only where a person looks (MAKE_TERMOUT: standard output is a terminal).
ifneq ($(and $(MAKE_TERMOUT),$(if $(NO_COLOR),,yes)),)
BOLD := $(shell printf '\033[1m')
PLAIN := $(shell printf '\033[0m')
endif
say = printf '%s\n' '$(BOLD)› $(1)$(PLAIN)'

# The pyright of the lock is the one that counts, not the newest one.
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1
unexport PYRIGHT_PYTHON_FORCE_VERSION

.DEFAULT_GOAL := help
.PHONY: help demo run test test-live check bench torture corpus openapi setup lock
.DELETE_ON_ERROR:

help: ## what can be made
	@printf '%smake …%s\n' '$(BOLD)' '$(PLAIN)'
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)$$/\1|\2/p' Makefile | while IFS='|' read -r name does; do \
	  printf '  %s%-9s%s %s\n' '$(BOLD)' "$$name" '$(PLAIN)' "$$does"; done

demo: $(LOCKED) ## one clinical event becomes a matched and posted invoice, explained hop by hop [ARGS]
	@$(PY) -m gateway demo $(ARGS)

run: $(LOCKED) ## the gateway with every role in one process [ARGS goes to «suture serve»]
	@$(PY) -m gateway serve $(ARGS)

test: $(LOCKED) ## all tests [TESTS=tests/standards narrows, ARGS='-k mllp' goes to pytest]
	@$(call say,pytest: $(TESTS) on $(WORKERS) workers)
	@$(PY) -m pytest -q -n $(WORKERS) --dist loadfile $(ARGS) $(TESTS)

test-live: $(LOCKED) ## tests against systems of others: an OpenID provider on node [what is missing is named]
	@$(LIVE_INSTALLED)
	@$(PY) -m pytest -q -n 0 $(ARGS) tests/live

check: $(LOCKED) ## lint and format and types and import contracts; changes nothing
	@$(call say,ruff: lint)
	@$(PY) -m ruff check .
	@$(call say,ruff: format)
	@$(PY) -m ruff format --check .
	@$(call say,import-linter: contracts between the packages)
	@.venv/bin/lint-imports --no-logo
	@$(call say,pyright: strict types)
	@$(PY) -m pyright
	@$(call say,mypy: strict types by a second opinion)
	@$(PY) -m mypy

bench: $(LOCKED) ## side-by-side measurements [BENCH names some; HISTORY=100000 shrinks the ledger's past]
	@$(if $(if $(BENCH),$(filter ledger,$(BENCH)),all),$(PEERS_INSTALLED))
	@$(PY) -m bench $(BENCH) $(if $(HISTORY),--history $(HISTORY)) $(if $(WAITS),--waits $(WAITS)) $(ARGS)

torture: $(LOCKED) ## kill workers and PostgreSQL under load, then count [KILLS=1000, ARGS='--seed 7']
	@$(PY) -m bench.torture --kills $(KILLS) $(ARGS)

corpus: $(LOCKED) ## read every document below CORPUS=folder and say what each one is
	@[ -n "$(CORPUS)" ] || { echo 'Say where the documents are: make corpus CORPUS=/path/to/documents' >&2; exit 2; }
	@[ -e "$(CORPUS)" ] || { echo 'There is nothing at $(CORPUS).' >&2; exit 2; }
	@mkdir -p .suture/corpus
	@$(PY) -m gateway inspect "$(CORPUS)" --table --report .suture/corpus/report.json

openapi: $(LOCKED) ## write the OpenAPI document of each tier to openapi/
	@$(PY) -m gateway openapi --write openapi/

setup: $(LOCKED) ## .venv with everything of requirements.lock and .venv/bin/suture
	@echo 'Ready: .venv/bin/suture --help'

lock: ## resolve pyproject.toml into requirements.lock [UPGRADE=1 takes the newest versions]
	@[ -x .suture/uv/bin/uv ] || { $(call say,installing uv into .suture/uv); $(call new_venv,.suture/uv) \
	  && $(call install,.suture/uv,uv); }
	@$(call say,uv: resolving for every platform from Python 3.11 on)
	@.suture/uv/bin/uv pip compile pyproject.toml --extra sandbox --extra dev --python-version 3.11 \
	  --universal --generate-hashes --no-emit-index-url --no-header --quiet \
	  $(if $(UPGRADE),--upgrade) --output-file requirements.lock 2> .suture/uv/lock.log \
	  || { $(MASKED) .suture/uv/lock.log >&2; exit 1; }
	@.suture/uv/bin/uv pip compile bench/peers/requirements.in --python-version 3.11 --universal \
	  --generate-hashes --no-emit-index-url --no-header --quiet $(if $(UPGRADE),--upgrade) \
	  --output-file bench/peers/requirements.lock 2> .suture/uv/lock.log \
	  || { $(MASKED) .suture/uv/lock.log >&2; exit 1; }

$(LOCKED):
	@$(PY) -m pip --version > /dev/null 2>&1 || { \
	  $(call say,making .venv with $(PYTHON)); $(call new_venv,.venv); }
	@$(call say,installing requirements.lock into .venv (a minute or two the first time))
	@$(call install,.venv,--require-hashes --no-deps -r requirements.lock)
	@printf '#!/bin/sh\nPYTHONPATH="%s$${PYTHONPATH:+:$$PYTHONPATH}" exec "%s/.venv/bin/python" -P -m gateway "$$@"\n' \
	  '$(CURDIR)' '$(CURDIR)' > .venv/bin/suture
	@chmod +x .venv/bin/suture
	@rm -f .venv/locked-* && touch $@

NEEDS_PYTHON = Suture needs Python 3.11 or newer, and $(PYTHON) is not.\
\nName another one, for example: make setup PYTHON=python3.12\n
NEEDS_VENV = $(PYTHON) cannot make a virtual environment: its venv module is incomplete.\
\nOn Debian or Ubuntu install it, then run make again:\n\n    apt install python3-venv\n\n

# $(call new_venv,folder): each thing that may be missing is named, with what to do about it.
new_venv = { $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	    || { printf '$(NEEDS_PYTHON)' >&2; exit 1; }; } \
	  && { $(PYTHON) -c 'import venv, ensurepip' 2>/dev/null \
	    || { printf '$(NEEDS_VENV)' >&2; exit 1; }; } \
	  && $(PYTHON) -m venv --clear $(1)

# $(call install,folder,what): silent while it works; what went wrong is shown without addresses.
install = { $(1)/bin/python -m pip install --disable-pip-version-check --no-input $(2) \
	    > $(1)/install.log 2>&1 \
	  || { echo 'The installation failed; the last lines of $(1)/install.log:' >&2; \
	    tail -n 15 $(1)/install.log | $(MASKED) >&2; exit 1; }; }

# Engines of others, which the ledger is measured beside: in an environment of their own. Without
# them the measurements go on, and say which rows were not run.
PEERS := .suture/bench/venv
PEERS_LOCK := bench/peers/requirements.lock
PEERS_STAMP := $(PEERS)/locked-$(firstword $(shell cksum < $(PEERS_LOCK)))
PEERS_INSTALLED = [ -e $(PEERS_STAMP) ] || ( mkdir -p $(dir $(PEERS)) \
	  && $(call say,installing $(PEERS_LOCK) into $(PEERS)) && $(call new_venv,$(PEERS)) \
	  && $(call install,$(PEERS),--require-hashes --no-deps -r $(PEERS_LOCK)) \
	  && touch $(PEERS_STAMP) ) || echo 'Going on without the engines of others.' >&2

# Systems of others, for `make test-live`; without them its tests say that they were not run.
LIVE := .suture/live/oidc-provider
LIVE_STAMP := $(LIVE)/made-$(firstword $(shell cksum < tests/live/oidc-provider/package.json))
LIVE_INSTALLED = [ -e $(LIVE_STAMP) ] || ( command -v node > /dev/null && command -v npm > /dev/null \
	  && mkdir -p $(LIVE) && $(call say,installing oidc-provider into $(LIVE)) \
	  && cp tests/live/oidc-provider/package.json $(LIVE)/ && cd $(LIVE) \
	  && npm install --no-package-lock --no-audit --no-fund > install.log 2>&1 \
	  && touch $(notdir $(LIVE_STAMP)) ) \
	  || echo 'Not run: node or npm is missing, or oidc-provider cannot be installed.' >&2

MASKED = sed -E "s|https?://[^ /]+|<index>|g; s|host='[^']*'|host=<index>|g"
