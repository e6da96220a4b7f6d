# Loupe on a bare machine: `make run` serves the app, `make test` runs the whole suite.
# Everything lives in .venv; delete it to start over.

PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
VENV   := .venv
PY     := $(VENV)/bin/python
LOUPE  := $(VENV)/bin/loupe
# Two files of tests at a time: what a laptop with two cores can do.
JOBS   ?= 2
ROOT   := $(if $(filter 0,$(shell id -u)),,sudo -n )

.PHONY: run install test coverage lint bench browser docs pictures lock clean

run: $(VENV)/installed
	$(LOUPE) serve

install: $(VENV)/installed

# Debian's python3.11 comes without the venv module's wheels, hence the second attempt.
$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "Loupe needs Python 3.11, 3.12 or 3.13; none was found."; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  $(ROOT)apt-get update -qq && $(ROOT)apt-get install -y -qq python3-venv && $(PYTHON) -m venv $(VENV); }

# The lock is a constraint, so that pip may add what this platform's torch needs and nothing else moves.
$(VENV)/installed: requirements.lock pyproject.toml | $(VENV)/bin/python
	$(PY) -m pip install --quiet --disable-pip-version-check --constraint requirements.lock --editable ".[test]"
	@touch $@

browser: $(VENV)/installed
	@test -n "$(CHROMIUM_PATH)" || command -v chromium >/dev/null || command -v google-chrome >/dev/null || \
	{ command -v apt-get >/dev/null && $(ROOT)apt-get update -qq && \
	  $(ROOT)apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core >/dev/null; } || \
	$(PY) -m playwright install chromium

test: $(VENV)/installed browser
	OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false $(PY) -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder $(ARGS)

# How much of the engine and of storage their own tests run; ends with the table of what is not run.
coverage: $(VENV)/installed
	OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false $(PY) -m pytest tests/engine tests/storage -n $(JOBS) --dist loadfile \
	  --cov --cov-report=term-missing:skip-covered $(ARGS)

lint: $(VENV)/installed
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/basedpyright

bench: $(VENV)/installed
	$(PY) -m benchmarks.bench_nla $(ARGS)

docs: $(VENV)/installed
	$(PY) -m loupe.app.settings > docs/settings.md

pictures: $(VENV)/installed browser
	$(PY) -m tests.browser.pictures

# Resolve afresh and write what was chosen: names and versions only, local build tags removed.
lock: $(VENV)/bin/python
	$(PY) -m pip install --quiet --dry-run --ignore-installed --report $(VENV)/resolved.json ".[test]"
	$(PY) -c 'import json,pathlib; \
	r = json.loads(pathlib.Path("$(VENV)/resolved.json").read_text())["install"]; \
	rows = {i["metadata"]["name"].lower().replace("_", "-"): i["metadata"]["version"].split("+")[0] for i in r}; \
	skip = ("loupe-lab", "nvidia-", "cuda-", "triton"); \
	print("\n".join(f"{n}=={v}" for n, v in sorted(rows.items()) if not n.startswith(skip)))' > requirements.lock

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis .coverage* htmlcov
