# Two commands on a fresh machine: `make demo` and `make test`. Both set up .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PEERS := $(VENV)/peers
TOOLBOX := $(VENV)/toolbox
TRITON := $(VENV)/triton

.PHONY: demo test slow interpreter check gate fix bench peers toolbox docs wheel clean

demo: $(READY)  ## convert the embedded networks; ends with the tables and the path of a report
	$(BIN)/snnconvert demo

test: $(READY)  ## everything but the slow tests
	$(BIN)/python -m pytest -m "not slow"

slow: $(READY)  ## the tests that take minutes
	$(BIN)/python -m pytest -m slow

interpreter: $(TRITON)/.ready  ## the kernel for GPUs, in Triton's interpreter on this processor (the Triton of torch 2.13; Linux, 1 GB)
	PYTHONPATH=$(TRITON) $(BIN)/python -m pytest tests/simulate/test_on_gpu.py

check: $(READY)  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

gate: $(READY)  ## the embedded networks against their committed baseline
	OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1 $(BIN)/snnconvert -q check models/digits_mlp.onnx models/digits_cnn.onnx models/digits_resnet.onnx \
	  --baseline models/snn-baseline.json --calib models/digits_calib.npz --data models/digits_test.npz

fix: $(READY)  ## what style can be mended by itself
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY)  ## measure on the real networks and data (SNNCONVERT_DATA, default ../shared/data); about an hour
	$(BIN)/python -m benchmarks

peers: $(PEERS)/.ready  ## speed against SpikingJelly and sinabs, accuracy beside theirs, and the same spikes and counts there; in a folder of their own; twenty minutes
	PYTHONPATH=$(PEERS) $(BIN)/python -m benchmarks peers peers_accuracy nir neurobench

toolbox: $(TOOLBOX)/.ready  ## accuracy beside snn_toolbox, in an environment of its own with TensorFlow (2 GB; Python 3.11 or 3.12); an hour
	$(BIN)/python -m benchmarks toolbox

docs: $(READY)  ## write the tables of operators and of errors again, and all pages as build/docs/index.html
	$(BIN)/python docs/generate.py
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs build/docs

wheel: $(READY)  ## dist/*.whl
	$(BIN)/python -m build --wheel

clean:
	rm -rf $(VENV) dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis snnconvert-demo

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("snnconvert needs Python 3.11 or newer" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt hatchling editables setuptools
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-build-isolation -e '.[dev]'
	touch $@

$(PEERS)/.ready: benchmarks/requirements.txt | $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --upgrade --target $(PEERS) -r $<
	touch $@

$(TRITON)/.ready: | $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --upgrade --target $(TRITON) triton==3.7.1
	touch $@

$(TOOLBOX)/.ready: benchmarks/toolbox.txt | $(READY)
	$(PYTHON) -m venv $(TOOLBOX)
	$(TOOLBOX)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	touch $@
