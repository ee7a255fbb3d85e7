# make demo     track held-out videos with the tiny tracker and measure it
# make test     run the tests
# make check    look for mistakes in the style of the code
#
# The first call makes .venv and installs everything in it; later calls start at once.
#   make test PYTHON=python3.12        another Python (3.9 to 3.13)
#   make test TORCH=torch              another torch: any requirement that pip understands

PYTHON ?= $(shell for name in python3.11 python3; do $$name -c 'import venv' 2> /dev/null && echo $$name && break; done)
TORCH ?= torch==2.13.0

VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip --disable-pip-version-check install --quiet

.PHONY: demo test check clean FORCE

demo: $(VENV)/installed
	$(BIN)/python tools/demo.py

test: $(VENV)/installed
	$(BIN)/python -m pytest -q

check: $(VENV)/installed
	$(BIN)/python -m ruff check .

clean:
	rm -rf $(VENV)

# mmtrack goes last and without its dependencies: the versions that it asks for no longer install.
$(VENV)/installed: requirements.txt requirements-dev.txt setup.py $(VENV)/torch
	@echo 'Installing into $(VENV); this takes a few minutes, once.'
	@test -n '$(PYTHON)' || { echo 'No Python 3 found; say which: make $(MAKECMDGOALS) PYTHON=...'; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) '$(TORCH)'
	$(INSTALL) -r requirements.txt -r requirements-dev.txt
	$(INSTALL) --no-deps mmtrack==1.0.0rc1
	$(INSTALL) --no-deps --no-build-isolation -e .
	$(BIN)/python -c 'import mmtrack_mixformerv2'
	@touch $@

# Changes only when another torch is asked for.
$(VENV)/torch: FORCE
	@mkdir -p $(VENV)
	@echo '$(TORCH)' | cmp -s - $@ || echo '$(TORCH)' > $@
