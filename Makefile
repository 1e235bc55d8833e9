# `make help` lists the targets. Every target sets up .venv first where it is missing.
PYTHON ?= python3
ARGS ?=
BIN := .venv/bin
INSTALLED := .venv/installed
# The explorers' JavaScript is checked where there is Node; running the course needs none.
NODE := $(and $(shell command -v node 2> /dev/null),$(shell command -v npm 2> /dev/null))
NODE_INSTALLED := $(if $(NODE),node_modules/installed)
# JupyterLab opens the first notebook; a default in tools/jupyterlab keeps it from asking over it whether to fetch news.
LAB := --ip=127.0.0.1 --LabApp.default_url=/lab/tree/notebooks/00_welcome.ipynb '--LabApp.app_settings_dir=$(CURDIR)/tools/jupyterlab'
# Jupyter wants to be told that its user is root, as in a container; it listens on loopback only, and asks for a token.
AS_ROOT := $(if $(filter 0,$(shell id -u)),--allow-root)
CODE := w2v2_teach tests tools benchmarks data notebooks conftest.py
# Two files at a time; a file's tests, and a notebook's cells, stay in order. So do the files: the longest, the one that
# runs every notebook in JupyterLab, comes early.
PYTEST := $(BIN)/python -m pytest --numprocesses=2 --dist=loadfile --no-loadscope-reorder

.PHONY: help lab unit test lint lint-js format notebooks html parity speed pretraining_step label_efficiency recipes pretraining_designs objectives speakers keywords explorers clean
.DEFAULT_GOAL := help

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z_-]+:.*## / { printf "make %-21s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

lab: $(INSTALLED) ## open the course in JupyterLab; without a screen: make lab ARGS=--no-browser
	$(BIN)/jupyter lab $(LAB) $(AS_ROOT) $(ARGS)

unit: $(INSTALLED) ## the quick tests, at most 3 minutes: no notebooks, no browser, no long trainings
	$(PYTEST) -m "not slow" --ignore=tests/notebooks --ignore=tests/browser tests $(ARGS)

test: $(INSTALLED) lint ## everything: lint, all tests, all notebooks, the browser; one file: make test ARGS=tests/test_model.py
	$(PYTEST) $(ARGS)

lint: $(INSTALLED) lint-js ## check style, imports, types, declared dependencies, and the JavaScript where there is Node
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/lint-imports --no-logo --no-cache
	$(BIN)/mypy
	$(BIN)/deptry --no-ansi w2v2_teach notebooks
	$(BIN)/deptry --no-ansi tests tools benchmarks data --exclude '\.venv' --ignore DEP002,DEP004

lint-js: $(NODE_INSTALLED) ## check style and types of the explorers' JavaScript, where there is Node
ifneq ($(NODE),)
	npm run --silent lint
else ifeq ($(CI),true)
	@echo "Cannot check the explorers' JavaScript: there is no node or no npm; install Node.js."; exit 1
else
	@echo "The explorers' JavaScript is not checked: there is no node or no npm."
endif

format: $(INSTALLED) $(NODE_INSTALLED) ## mend what lint finds in the style, where that can be done safely
	$(BIN)/ruff check --fix $(CODE)
	$(BIN)/ruff format $(CODE)
	$(if $(NODE),npm run --silent format)

notebooks: $(INSTALLED) ## run notebooks in place: make notebooks ARGS=02
	$(BIN)/python tools/notebooks.py $(ARGS)

html: $(INSTALLED) ## a page of each notebook, for readers without Jupyter: make html ARGS=notebooks/02_feature_encoder.ipynb
	$(BIN)/python tools/export_html.py $(ARGS)

parity: ## compare every stage with transformers, weights copied
speed: ## compare the model's speed with transformers'
pretraining_step: ## compare whole updates of pre-training with transformers'
pretraining_designs: ## compare designs of TINY on human and synthetic speech (hours)
objectives: ## pre-train with each objective and measure what was learned (hours)
speakers: ## train and measure speaker verification (minutes)
keywords: ## train and measure keyword spotting (hours)
explorers: ## measure how fast the explorers open and answer
parity speed pretraining_step pretraining_designs objectives speakers keywords explorers: $(INSTALLED)
	$(BIN)/python benchmarks/$@.py $(ARGS)

label_efficiency: $(INSTALLED) ## measure what pre-training is worth in minutes of labels (hours)
	$(BIN)/python benchmarks/finetuning.py labels

recipes: $(INSTALLED) ## compare recipes of fine-tuning (hours)
	$(BIN)/python benchmarks/finetuning.py recipes

$(INSTALLED): pyproject.toml constraints.txt tools/install.py
	@command -v $(PYTHON) > /dev/null || { echo "Cannot set up the course: there is no $(PYTHON); install Python 3.10 to 3.13."; exit 1; }
	@$(PYTHON) tools/install.py
	@touch $@

node_modules/installed: package.json package-lock.json
	@npm ci --no-audit --no-fund --loglevel=error || { echo "Cannot install the JavaScript tools, see above."; exit 1; }
	@touch $@

clean: ## remove .venv and node_modules
	rm -rf .venv node_modules
