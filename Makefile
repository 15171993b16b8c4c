# Every target sets the checkout up first, in .venv, and only when the lock changed.
# PYTHON is the Python that .venv is made from; pip's own settings choose the index.
PYTHON ?= python3
BIN := .venv/bin
OPENED := --LabApp.default_url=/lab/tree/notebooks --LanguageServerManager.autodetect=False
STRIPPED := --extra-keys="metadata.papermill cell.metadata.papermill metadata.language_info.version"

SWEEP ?= lab
LANG_ ?= en
JA := $(if $(filter ja,$(LANG_)),.ja)

.PHONY: help run sweep mechanism examples test lint lab lock set-up

help:
	@echo "make run        the study in miniature, on the embedded models, and its report"
	@echo "                (LANG_=ja: in Japanese; of sweep and mechanism too)"
	@echo "make sweep      go through a file of params/sweeps: make sweep SWEEP=seed"
	@echo "make mechanism  take the recipes apart: which part breaks the reasoning"
	@echo "make examples   execute each notebook on the lab into outputs/examples"
	@echo "make test       run the test suite"
	@echo "make lab        open the workbook in JupyterLab"
	@echo "make lint       check style, types, layers, and that notebooks carry no output"

run: set-up
	@$(BIN)/igaku demo --lang $(LANG_) $(ARGS)

sweep: set-up
	@$(BIN)/igaku sweep $(SWEEP) --lang $(LANG_) $(ARGS)

mechanism: set-up
	$(BIN)/papermill notebooks/mechanism$(JA).ipynb outputs/mechanism.ipynb \
	    -k python3 $(ARGS)
	$(BIN)/igaku render

examples: set-up
	@$(BIN)/python -m igaku.examples

test: set-up
	@$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder $(ARGS)

lint: set-up
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo --no-cache
	$(BIN)/nbstripout --verify $(STRIPPED) notebooks/*.ipynb

lab: set-up
	@JUPYTER_PREFER_ENV_PATH=1 $(BIN)/jupyter lab $(OPENED) $(ARGS)

set-up:
	@$(PYTHON) set_up.py

# For maintainers: choose the locked versions anew (needs uv on the PATH).
lock:
	uv pip compile pyproject.toml --extra lab --extra sweep --extra test -o requirements.lock \
	    --universal --python-version 3.11 --fork-strategy fewest --upgrade \
	    --generate-hashes --no-emit-index-url --custom-compile-command "make lock"
