# `make book`, `make test`, `make dist`; for teachers `make assignments`, `make grade`.
# VENV=... and PYTHON=... choose another environment.
PYTHON ?= python3
VENV ?= .venv
PORT ?= 8000
# Without windows Chromium works a third less; Debian has a package of that.
export CHROMIUM ?= $(shell command -v chromium-headless-shell || echo chromium)
BIN := $(VENV)/bin

# Chapters run in the kernel of this environment, whatever kernels the user has installed.
export JUPYTER_PREFER_ENV_PATH := 1
export JUPYTER_PATH :=
# The matrices are small: threads of the linear algebra library would only wait for each other.
export OPENBLAS_NUM_THREADS := 1
# Without compiled modules each kernel would compile every package anew: three times the imports.
export PYTHONDONTWRITEBYTECODE :=

# Solutions of the exercises: folded in their pages (yes), or absent (no).
export SOLUTIONS ?= yes
# Notebooks run outside the book by `make test`: a few kinds (no), or all of them (yes).
export EVERY_NOTEBOOK ?= no

.PHONY: book html lab dist tools test bench browser pictures serve assignments grade requirements clean

book: $(VENV)/installed extensions/node_modules/.package-lock.json html

# Every page is read anew, so no warning of an earlier build is forgotten; executed cells are cached.
# A build that fails or is interrupted leaves the site of the last good one in place; only a whole
# site has an index.html. With the trap, Ctrl-C ends the build and not the shell that puts it back.
html:
	@if [ -f _build/html/index.html ]; then rm -rf _build/previous && mv _build/html _build/previous; fi
	@rm -rf _build/html
	trap : INT; $(BIN)/jupyter-book build . --all -W -n --keep-going || \
		{ rm -rf _build/html; mv _build/previous _build/html 2>/dev/null; exit 1; }
	@rm -rf _build/previous

# Notebooks that read like the pages, in lab/, where saving changes no file of the course. What was
# saved there stays; without the folder all are made anew. LAB=--allow-root for more options.
lab: $(VENV)/installed
	@[ -d lab/exercises ] || $(BIN)/python -m classroom.release
	@$(BIN)/python extensions/lab.py lab
	$(BIN)/jupyter lab lab $(LAB)

# Two zip files: the site, to open from disk, and its notebooks. The folders beside them hold the same.
dist: _build/html/index.html
	@rm -rf _build/dist && mkdir -p _build/dist/borrowing-strength-notebooks
	@cp -R _build/html _build/dist/borrowing-strength
	@tar -C _build/html -cf - $(NOTEBOOKS) | tar -C _build/dist/borrowing-strength-notebooks -xf -
	@for folder in _build/dist/*; do $(BIN)/python -m zipfile -c "$$folder.zip" "$$folder/"; done
	@cd _build/dist && ls -lh *.zip | awk '{print "_build/dist/" $$9 ": " $$5}'

# For single tests and for the hook before each commit.
tools: $(VENV)/installed-tests

test: browser book tools
	@if [ -e .git ]; then PATH="$$(cd "$(BIN)" && pwd):$$PATH" pre-commit run --all-files; else \
		echo "No git repository here: the checks of .pre-commit-config.yaml are skipped."; fi
	# Four on two cores: those that drive a browser wait half of their time.
	$(BIN)/python -m pytest --numprocesses=4 --dist=loadfile --no-loadscope-reorder

# Ten minutes; writes the numbers of the page "How fast is it?". Quiet machine, please.
bench: $(VENV)/installed-tests
	$(BIN)/python -m pytest tests/benchmarks/test_fit_speed.py tests/benchmarks/test_how_fast.py \
		tests/benchmarks/test_inference_speed.py tests/benchmarks/test_import_speed.py -s \
		--benchmark-columns=min,rounds

# CLASS=stats501-2027: its name seeds the data of its notebooks.
assignments: $(VENV)/installed-grading
	@$(CLASSROOM).assignments "$(CLASS)"

# CLASS=... SUBMISSIONS=folder or zip file; AGAIN=1 or AGAIN=student grades again what has not
# changed; UNSAFE=1 only where bubblewrap cannot run.
grade: $(VENV)/installed-grading
	@$(CLASSROOM).grading "$(CLASS)" "$(SUBMISSIONS)" "$(UNSAFE)" "$(AGAIN)"

# The pictures of README.md, from the built site.
pictures: browser $(VENV)/installed-tests
	PYTHONPATH=. $(BIN)/python tests/pictures.py

serve:
	$(BIN)/python -m http.server --bind 127.0.0.1 --directory _build/html $(PORT)

browser:
	@command -v $(patsubst chromium,chromium-headless-shell,$(CHROMIUM)) >/dev/null || \
		sh tests/install_browser.sh

# UPGRADE=--upgrade raises every pin to the newest version that fits.
requirements: $(BIN)/uv
	$(COMPILE) pyproject.toml -o requirements.txt
	$(COMPILE) pyproject.toml --extra grading -c requirements.txt -o chapters/exercises/requirements.txt
	$(COMPILE) pyproject.toml --extra test --extra grading -c requirements.txt \
		-c chapters/exercises/requirements.txt -o tests/requirements.txt

clean:
	rm -rf _build extensions/node_modules $(VENV)/installed $(VENV)/installed-tests $(VENV)/installed-grading

# What the site is made of: newer than the site, it has to be built again before it is packed.
SOURCES = _config.yml _toc.yml requirements.txt $(shell find chapters classroom helpers data extensions \
	\( -name node_modules -o -name __pycache__ -o -name '.*' \) -prune \
	-o -type f ! -name '*.ipynb' -print)
NOTEBOOKS = $(shell cd _build/html && find chapters -name '*.ipynb')

_build/html/index.html: $(SOURCES)
	$(MAKE) book

CLASSROOM = $(BIN)/python -m classroom
COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest \
	--no-emit-index-url --extra book $(UPGRADE) \
	--custom-compile-command "make requirements"

# Not from the pins: they may be what cannot be installed.
$(BIN)/uv:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install uv

$(VENV)/installed: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make book PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -r requirements.txt
	$(BIN)/python -m pip install --no-deps --no-build-isolation -e .
	touch $@

$(VENV)/installed-tests: tests/requirements.txt $(VENV)/installed
	$(BIN)/python -m pip install -r tests/requirements.txt
	touch $@

$(VENV)/installed-grading: chapters/exercises/requirements.txt $(VENV)/installed
	$(BIN)/python -m pip install -r chapters/exercises/requirements.txt
	touch $@

extensions/node_modules/.package-lock.json: extensions/package-lock.json $(VENV)/installed
	$(BIN)/npm ci --prefix extensions
	touch $@
