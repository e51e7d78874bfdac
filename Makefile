# Two commands on a fresh machine: `make demo` and `make test`.
PY = .venv/bin/python

.PHONY: help demo test setup lint types test-slow test-gpu test-verl test-browser bench clean

help:
	@echo "make demo          set up, then train and evaluate a tiny model on this machine; prints where report.html is"
	@echo "make test          set up, then run the tests (those in a browser are skipped where there is none)"
	@echo "make lint types    ruff; mypy --strict"
	@echo "make test-slow     the tests that take minutes"
	@echo "make test-verl     real runs on verl and Ray on this machine's CPU, in .venv-verl (2.2 GB, made on first use)"
	@echo "make test-browser  the report in a real Chromium (apt-get install chromium chromium-driver)"
	@echo "make test-gpu      the tests that need a GPU"
	@echo "make bench         the benchmarks of this machine, about half an hour; writes over benchmarks/results/"
	@echo "make setup clean   .venv alone; take away what was made"

demo: setup
	.venv/bin/dz demo

test: setup
	$(PY) -m pytest -n 2
	$(PY) -m pytest -m browser

setup: .venv/.installed

.venv/.installed: pyproject.toml constraints.txt scripts/setup.sh
	scripts/setup.sh

lint: setup
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .

types: setup
	.venv/bin/mypy

test-slow: setup
	$(PY) -m pytest -m slow

test-gpu: setup
	$(PY) -m pytest -m gpu

test-verl: .venv-verl/.installed
	scripts/test-verl.sh

.venv-verl/.installed: pyproject.toml constraints-verl.txt scripts/setup-verl.sh
	scripts/setup-verl.sh

test-browser: setup
	$(PY) -m pytest -m browser

bench: setup
	$(PY) -m benchmarks.step --setting fp32 --setting "fp32, checkpointing" --json benchmarks/results/step.json
	$(PY) -m benchmarks.rollout --repeats 1 --json benchmarks/results/rollout.json
	$(PY) -m benchmarks.update --json benchmarks/results/update.json
	$(PY) -m benchmarks.memory --json benchmarks/results/memory.json
	$(PY) -m benchmarks.scaling --quick --json benchmarks/results/scaling.json

clean:
	rm -rf .venv .venv-verl dist build
