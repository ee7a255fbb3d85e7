# make install  make .venv and install everything in it; the others do so too
# make demo     track held-out videos with the tiny tracker and measure it
# make test     run the tests
# make check    look for mistakes in the style of the code
# make docs     build the documentation into docs/_build/html
# make browser  install Chromium, which a few tests drive (Debian and Ubuntu, as root)
# make vot      install the VOT toolkit (GPL) beside everything else, see docs/vot.md
#
# The first call takes a few minutes; later calls start at once.
#   make test PYTHON=python3.12        another Python (3.10 to 3.13)
#   make test TORCH=torch              another torch: any requirement that pip understands
# What was asked for is kept until another call asks for something else.

VENV := .venv
VENV_VOT := .venv-vot
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip --disable-pip-version-check install --quiet

# Python and torch of the finished installation.
RECORD := $(shell cat $(VENV)/installed 2> /dev/null)
PYTHON ?= $(or $(firstword $(RECORD)),$(shell \
  for name in python3.11 python3.12 python3.13 python3.10 python3; do \
    $$name -c 'import venv' 2> /dev/null && echo $$name && break; done))
TORCH ?= $(or $(wordlist 2,9,$(RECORD)),torch==2.13.0)

.PHONY: install demo test check docs browser vot clean FORCE

install: $(VENV)/installed

demo: $(VENV)/installed
	$(BIN)/python tools/demo.py

# Processes side by side, with one thread each. Where everything is to be tested, with a browser.
test: $(VENV)/installed $(if $(CI),browser)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

check: $(VENV)/installed
	$(BIN)/python -m ruff check .

docs: $(VENV)/installed
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html
	@echo 'docs/_build/html/index.html'

browser:
	@for name in chromium chromium-browser google-chrome google-chrome-stable; do \
	  command -v $$name > /dev/null && exit 0; done; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null; then \
	  apt-get update -qq && apt-get install -qq -y --no-install-recommends chromium > /dev/null; \
	else echo 'No Chromium found, and it cannot be installed here: tests that drive it are skipped.'; fi

vot: $(VENV_VOT)/installed

# A folder of its own: mmtrack imports the toolkit where it finds it.
$(VENV_VOT)/installed: requirements-vot.txt
	@echo 'Installing the VOT toolkit into $(VENV_VOT); this takes a minute, once.'
	@rm -f $@
	$(PYTHON) -m venv --clear $(VENV_VOT)
	$(VENV_VOT)/bin/python -m pip --disable-pip-version-check install --quiet -r requirements-vot.txt
	$(VENV_VOT)/bin/vot --help > /dev/null
	@touch $@

clean:
	rm -rf $(VENV) $(VENV_VOT)

ifneq ($(strip $(PYTHON) $(TORCH)),$(RECORD))
$(VENV)/installed: FORCE
endif

# mmtrack goes last and without its dependencies: the versions that it asks for no longer install.
# With it mmcv-lite, which is no requirement of the package because a full mmcv may take its place.
$(VENV)/installed: requirements.txt requirements-dev.txt requirements-docs.txt setup.py
	@test -n '$(PYTHON)' || { echo 'No Python 3 found; say which: make $(MAKECMDGOALS) PYTHON=...'; exit 1; }
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; v < (3, 10) and sys.exit( \
	  "$(PYTHON) is Python %d.%d; 3.10 to 3.13 are supported: make $(MAKECMDGOALS) PYTHON=python3.11" % v); \
	  v > (3, 13) and print("Warning: $(PYTHON) is Python %d.%d; 3.10 to 3.13 are supported." % v)'
	@echo 'Installing into $(VENV); this takes a few minutes, once.'
	@rm -f $@
	$(PYTHON) -m venv $(if $(filter $(PYTHON),$(firstword $(RECORD))),,--clear) $(VENV)
	$(INSTALL) '$(TORCH)'
	$(INSTALL) -r requirements.txt -r requirements-dev.txt -r requirements-docs.txt
	$(INSTALL) --no-deps mmtrack==1.0.0rc1 mmcv-lite==2.1.0
	$(INSTALL) --no-deps --no-build-isolation -e .
	$(BIN)/python -c 'import mmtrack_mixformerv2'
	@echo '$(PYTHON) $(TORCH)' > $@
