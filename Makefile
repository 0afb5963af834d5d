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

# Where the home folder cannot be written to, or there is none, the installer's cache stays here.
ifndef UV_CACHE_DIR
ifneq ($(shell test -n "$${HOME:-}" && test -d "$$HOME" && test -w "$$HOME" && mkdir -p "$${XDG_CACHE_HOME:-$$HOME/.cache}/uv" 2>/dev/null && test -w "$${XDG_CACHE_HOME:-$$HOME/.cache}/uv" && echo yes),yes)
export UV_CACHE_DIR := $(CURDIR)/.cache/uv
PIP_CACHE := --no-cache-dir
endif
endif

# The machine's own list of certificates, where it has one: it may know a company's.
ifneq ($(wildcard /etc/ssl/certs/ca-certificates.crt),)
export UV_SYSTEM_CERTS ?= true
endif

# pip is quiet and works also where it calls itself externally managed: --target touches no system path.
PIP := PIP_USER=0 PIP_ROOT_USER_ACTION=ignore $(PYTHON) -m pip --disable-pip-version-check --no-input --quiet $(PIP_CACHE)
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
	@echo "Installing Offhook and the tools of its developers into $(VENV) (once, about 900 MB) …"
	@$(UV) pip sync --quiet --python $(BIN)/python --require-hashes locks/dev.txt
	@$(INSTALL_SELF)
	@touch $(VENV)/.demo $@

$(VENV)/.demo: locks/demo.txt pyproject.toml $(VENV)/pyvenv.cfg $(TOOLS)/.installed
	@echo "Installing Offhook with its demo into $(VENV) (once, about 250 MB) …"
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
RUN_TESTS := $(BIN)/python -m coverage run -m pytest
else
RUN_TESTS := $(PYTEST)
endif

DURATIONS := --durations=10 --durations-min=1
# Chromium's tests mostly wait, so they run beside the others; what they print comes at the end.
define TWO_LANES
log=$$(mktemp); trap 'kill $$browser 2>/dev/null || true; rm -f $$log' EXIT; status=0; \
$(RUN_TESTS) $(DURATIONS) -m browser -p no:cacheprovider >$$log 2>&1 & browser=$$!; \
$(RUN_TESTS) $(DURATIONS) -m 'not browser' || status=$$?; \
echo; echo "The tests in Chromium, which ran meanwhile:"; \
wait $$browser || status=$$?; cat $$log; exit $$status
endef

.PHONY: test
test: $(VENV)/.dev ## run all tests (T=… adds arguments for pytest; COV=1 measures coverage)
	@$(if $(COV),rm -f .coverage .coverage.*)
	@$(if $(T),$(RUN_TESTS) $(DURATIONS) $(T),$(TWO_LANES))

.PHONY: test-process
test-process: $(VENV)/.dev ## run the tests that start real workers
	@$(PYTEST) -m process $(T)

.PHONY: client
client: $(VENV)/.dev ## run the tests in which Chromium talks to a bot
	@$(PYTEST) -m browser $(T)

.PHONY: conformance
conformance: $(VENV)/.dev ## run the suite that every transport passes
	@$(PYTEST) tests/conformance $(T)

.PHONY: fuzz
fuzz: $(VENV)/.dev ## run the generated tests for much longer, with new examples
	@$(PYTEST) -m hypothesis --hypothesis-profile=fuzz --timeout=1200 $(T)

.PHONY: cov
cov: ## run all tests and report what they do not reach
	@$(MAKE) test COV=1
	@$(MAKE) cov-report

# Rules without I/O are tested branch by branch; the rest has a floor.
PURE := src/offhook/protocol/*,src/offhook/server/admission/rules.py,src/offhook/server/pool/state.py

.PHONY: cov-report
cov-report: $(VENV)/.dev
	@$(BIN)/python -m coverage combine --quiet
	@status=0; \
	$(BIN)/python -m coverage report || status=$$?; \
	echo "Pure modules, every branch:"; \
	$(BIN)/python -m coverage report --include='$(PURE)' --fail-under=100 || status=$$?; \
	exit $$status

.PHONY: bench
bench: $(VENV)/.dev ## measure starts, memory and CPU; prints a table and JSON (B=… adds arguments)
	@$(BIN)/python -m tests.bench $(B)

# -- checks ----------------------------------------------------------------------------------------

.PHONY: check
check: fmt-check lint types imports test docs ## all that must pass before a push

.PHONY: fmt
fmt: $(VENV)/.dev ## format the code
	@$(BIN)/ruff format .

.PHONY: fmt-check
fmt-check: $(VENV)/.dev
	@$(BIN)/ruff format --check .

.PHONY: lint
lint: $(VENV)/.dev ## look for mistakes in code and spelling
	@$(BIN)/ruff check .
	@$(BIN)/typos

.PHONY: types
types: $(VENV)/.dev ## check the types, strictly, and that the public ones are complete
	@$(BIN)/mypy
	@test ! -d tests/typing || $(BIN)/mypy tests/typing
	@PATH="$(CURDIR)/$(BIN):$$PATH" python .ci/public_types.py

.PHONY: imports
imports: $(VENV)/.dev ## check who imports whom
	@$(BIN)/lint-imports --no-cache

.PHONY: docs
docs: $(VENV)/.dev ## build the documentation in docs/_build/html
	@$(BIN)/sphinx-build --quiet --nitpicky --fail-on-warning --keep-going --builder html docs docs/_build/html
	@echo "Built: docs/_build/html/index.html"

.PHONY: changelog
changelog: $(VENV)/.dev ## show what changes/ adds to the change log
	@$(BIN)/towncrier build --draft --version next

# -- the demo --------------------------------------------------------------------------------------

HOST ?= localhost
PORT ?= 7860

.PHONY: demo
demo: $(VENV)/.demo ## talk to a bot in your browser (PORT=… for another port than 7860)
	@exec $(BIN)/python examples/parrot/bot.py -t webrtc --host $(HOST) --port $(PORT)

# -- the lock files --------------------------------------------------------------------------------

.PHONY: lock
lock: $(TOOLS)/.installed ## renew locks/ from pyproject.toml (L=--upgrade takes newer releases)
	@$(COMPILE) $(L) --all-extras --group dev --output-file locks/dev.txt
	@$(COMPILE) $(L) --extra demo --group build --constraint locks/dev.txt --output-file locks/demo.txt
	@! grep -n '://' locks/*.txt || { echo "A lock file names a host: take it out."; exit 1; }
	@wc -l locks/*.txt

	@test ! -e $(VENV)/.dev || $(MAKE) licences

.PHONY: licences
licences: $(VENV)/.dev ## renew the list of our dependencies' licences in the documentation
	@$(BIN)/python .ci/licences.py

.PHONY: clean
clean: ## remove everything that make has made
	@rm -rf $(VENV) $(TOOLS) .cache .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache docs/_build dist htmlcov node_modules

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | sed -E 's/^([a-z-]+):[^#]*## (.*)/  \1|\2/' | column -t -s '|'
