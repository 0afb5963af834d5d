# Everything a person or CI does here. `make help` lists it.
# Needs: Python 3.11 or newer with pip, make, git. Nothing is installed outside this folder.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
TOOLS := .tools
UV := $(TOOLS)/bin/uv
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# An activated environment or a search path of the caller's must not leak into ours.
unexport VIRTUAL_ENV PYTHONHOME PYTHONPATH PIP_USER PIP_TARGET PIP_PREFIX PIP_REQUIRE_VIRTUALENV
export UV_PYTHON_DOWNLOADS := never

# Where no home folder can be written to, the cache stays here.
HOME_CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)
export UV_CACHE_DIR ?= $(shell mkdir -p '$(HOME_CACHE)/uv' 2>/dev/null && test -w '$(HOME_CACHE)/uv' && echo '$(HOME_CACHE)/uv' || echo '$(CURDIR)/.cache/uv')

# pip is quiet and works also where it calls itself externally managed: --target touches no system path.
PIP := PIP_USER=0 PIP_ROOT_USER_ACTION=ignore $(PYTHON) -m pip --disable-pip-version-check --no-input --quiet
UV_INSTALL := $(UV) pip install --quiet --python $(BIN)/python

COMPILE := $(UV) pip compile pyproject.toml --quiet --universal --python-version 3.11 \
	--fork-strategy fewest --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate \
	--custom-compile-command 'make lock' --no-emit-package offhook

# -- environments ----------------------------------------------------------------------------------

$(TOOLS)/.installed: locks/uv.txt
	@$(PYTHON) -c 'import sys; sys.exit("Offhook needs Python 3.11 or newer, and $(PYTHON) is " + sys.version.split()[0] + ". Try: make PYTHON=python3.12 …" if sys.version_info < (3, 11) else 0)'
	@echo "Installing uv, the installer, into $(TOOLS) …"
	@rm -rf $(TOOLS)
	@$(PIP) install --require-hashes --only-binary :all: --target $(TOOLS) --requirement locks/uv.txt
	@touch $@

$(VENV)/pyvenv.cfg: | $(TOOLS)/.installed
	@echo "Making a Python environment in $(VENV) …"
	@$(UV) venv --quiet --allow-existing --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" $(VENV)

# The project itself: again only when its metadata change, since its code is used in place.
INSTALL_SELF := $(UV_INSTALL) --no-deps --no-build-isolation --editable .

$(VENV)/.dev: locks/dev.txt pyproject.toml $(VENV)/pyvenv.cfg $(TOOLS)/.installed
	@echo "Installing Offhook and the tools of its developers into $(VENV) (once, about 500 MB) …"
	@$(UV) pip sync --quiet --python $(BIN)/python --require-hashes locks/dev.txt
	@$(INSTALL_SELF)
	@touch $(VENV)/.demo $@

$(VENV)/.demo: locks/demo.txt pyproject.toml $(VENV)/pyvenv.cfg $(TOOLS)/.installed
	@echo "Installing Offhook with its demo into $(VENV) (once, about 150 MB) …"
	@$(UV_INSTALL) --require-hashes --requirement locks/demo.txt
	@$(INSTALL_SELF)
	@touch $@

.PHONY: setup
setup: $(VENV)/.dev ## make the developers' environment in .venv
	@echo "Ready: $$($(BIN)/python --version), $(BIN)/offhook. Next: make test"

# -- tests -----------------------------------------------------------------------------------------

PYTEST := $(BIN)/python -m pytest
# COV=1 measures coverage on the way, so that CI runs the suite once.
ifdef COV
RUN_TESTS := rm -f .coverage .coverage.* && $(BIN)/python -m coverage run -m pytest
else
RUN_TESTS := $(PYTEST)
endif

.PHONY: test
test: $(VENV)/.dev ## run all tests (T=… adds arguments for pytest; COV=1 measures coverage)
	@$(RUN_TESTS) --durations=10 --durations-min=1 $(T)

.PHONY: test-process
test-process: $(VENV)/.dev ## run only the tests that start real workers
	@$(PYTEST) -m process $(T)

# -- the lock files --------------------------------------------------------------------------------

.PHONY: lock
lock: $(TOOLS)/.installed ## renew locks/ from pyproject.toml (L=--upgrade takes newer releases)
	@$(COMPILE) $(L) --all-extras --group dev --output-file locks/dev.txt
	@$(COMPILE) $(L) --extra demo --group build --constraint locks/dev.txt --output-file locks/demo.txt
	@! grep -n '://' locks/*.txt || { echo "A lock file names a host: take it out."; exit 1; }
	@wc -l locks/*.txt

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | sed -E 's/^([a-z-]+):[^#]*## (.*)/  \1|\2/' | column -t -s '|'
