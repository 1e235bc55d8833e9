# Two commands: `make lab` opens the course, `make test` runs everything. Both set up .venv first where it is missing.
PYTHON ?= python3
ARGS ?=
BIN := .venv/bin
INSTALLED := .venv/installed
# Jupyter wants to be told that its user is root, as in a container; it listens on loopback only, and asks for a token.
AS_ROOT := $(if $(filter 0,$(shell id -u)),--allow-root)
CODE := w2v2_teach tests tools benchmarks data notebooks conftest.py

.PHONY: lab test lint format notebooks html parity speed pretraining_step label_efficiency recipes objectives speakers keywords explorers clean

lab: $(INSTALLED)
	$(BIN)/jupyter lab --ip=127.0.0.1 --LabApp.default_url=/lab/tree/notebooks/00_welcome.ipynb $(AS_ROOT) $(ARGS)

test: $(INSTALLED) lint ## two files at a time; a file's tests, and a notebook's cells, stay in order
	$(BIN)/python -m pytest --numprocesses=2 --dist=loadfile $(ARGS)

lint: $(INSTALLED)
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)

format: $(INSTALLED)
	$(BIN)/ruff check --fix $(CODE)
	$(BIN)/ruff format $(CODE)

notebooks: $(INSTALLED) ## run notebooks in place: make notebooks ARGS=02
	$(BIN)/python tools/notebooks.py $(ARGS)

html: $(INSTALLED) ## a page of each notebook, for readers without Jupyter: make html ARGS=notebooks/02_feature_encoder.ipynb
	$(BIN)/python tools/export_html.py $(ARGS)

parity speed pretraining_step objectives speakers keywords explorers: $(INSTALLED)
	$(BIN)/python benchmarks/$@.py $(ARGS)

label_efficiency: $(INSTALLED)
	$(BIN)/python benchmarks/finetuning.py labels

recipes: $(INSTALLED)
	$(BIN)/python benchmarks/finetuning.py recipes

$(INSTALLED): pyproject.toml constraints.txt tools/install.py
	@command -v $(PYTHON) > /dev/null || { echo "Cannot set up the course: there is no $(PYTHON); install Python 3.10 to 3.13."; exit 1; }
	@$(PYTHON) tools/install.py
	@touch $@

clean:
	rm -rf .venv
