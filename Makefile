# make demo   trains with and without randomness in each place, and writes a page about it: demo/report.html
# make test   lint, import direction, types, tests
# make slow   the long checks that `make test` leaves out
#
# PIP_FLAGS goes to every pip install: use it for another build of torch.

PYTHON ?= python3
PIP_FLAGS ?=
BIN := .venv/bin
TEST_FLAGS ?= -n 2 --dist worksteal

.PHONY: demo test slow lint clean

demo: .venv/.demo
	$(BIN)/jostle study examples/demo.yaml --out demo

test: .venv/.dev lint
	$(BIN)/python -m pytest -m "not slow" $(TEST_FLAGS)

lint: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

slow: .venv/.dev
	$(BIN)/python -m pytest -m slow

# torch comes first and by its exact version, so that no other package pulls in another build of it.
.venv/.torch: constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "jostle needs Python 3.11 or newer: make PYTHON=python3.11 …")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q $(PIP_FLAGS) "$$(grep '^torch==' constraints.txt)"
	@touch $@

.venv/.demo: .venv/.torch pyproject.toml
	$(BIN)/python -m pip install -q $(PIP_FLAGS) -c constraints.txt -e '.[lab]'
	@touch $@

.venv/.dev: .venv/.torch pyproject.toml
	$(BIN)/python -m pip install -q $(PIP_FLAGS) -c constraints.txt -e '.[lab,envpool,procgen,mujoco,ray,tune,dev]'
	@touch $@ .venv/.demo

clean:
	rm -rf .venv build dist demo
