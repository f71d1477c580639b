# The two commands that matter: `make figures` and `make test`. Each builds the environment when it is missing.
#   make figures FIG=saddle_escape PROFILE=full JOBS=8

PYTHON  ?= python3
PROFILE ?= cpu
JOBS    ?= $(shell nproc 2>/dev/null || echo 2)
FIG     ?=
MINUTES ?= 10
SEED    ?= 0

VENV := .venv
LATEX := $(shell sed -n 's/^\\usepackage.*{\([a-z0-9, -]*\)}.*/\1/p' paper/preamble.tex | tr -d ' ' | tr ',' '\n' | sed 's/$$/.sty/')
PY   := $(VENV)/bin/python

# One BLAS thread per process: sweeps run in processes, and mixed thread pools slow small blocks down 40-400 times.
export OPENBLAS_NUM_THREADS = 1
export OMP_NUM_THREADS = 1
export MKL_NUM_THREADS = 1
export MPLBACKEND = Agg
# No clock in PDF and PNG: the same result gives the same bytes.
export SOURCE_DATE_EPOCH = 0

.DEFAULT_GOAL := help
.SECONDARY:
.DELETE_ON_ERROR:
.PHONY: help env data figures test mutants hunt bench quick lint types docstrings latex paper pdf docs notebooks lab reproduce readme clean

help:
	@echo "make figures [FIG=id] [PROFILE=quick|cpu|full] [JOBS=n]   draw the figures into figures/out/index.html"
	@echo "make test        the tests            make paper      the paper and its supplement, numbers generated"
	@echo "make quick       every figure, small  make notebooks  run the notebooks"
	@echo "make reproduce   recompute the committed results of the profile cpu, then draw"
	@echo "make lab         JupyterLab on the notebooks"
	@echo "make docs        the documentation    make readme     the drawing in the README"
	@echo "make data        fetch the real data"
	@echo "make lint        ruff and mypy        make clean      remove what can be regenerated"
	@echo "make mutants [MINUTES=10] [SEED=0]    break one formula at a time and list what no test notices"
	@echo "make hunt [MINUTES=10] [SEED=0]       call every public function with wrong arguments, list what goes wrong"
	@echo "make bench       time each task against its alternatives into build/bench"

env: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check -e ".[all]" -c constraints.txt
	touch $@ $(VENV)/.figures

# What the figures need and no more: no JAX, no Jupyter, no tests. Everything else asks for all.
$(VENV)/.figures: pyproject.toml constraints.txt
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check -e ".[experiments]" -c constraints.txt
	touch $@

# Asked for by name, the data are looked for again. The figures ask once: without the real sets they use the digits.
data: $(VENV)/.figures
	$(PY) -m pctheory.datasets

$(VENV)/.data: $(VENV)/.figures
	$(PY) -m pctheory.datasets || echo "Some data sets are missing: figures that want them use the digits and say so."
	touch $@

figures: $(VENV)/.figures $(VENV)/.data
	$(PY) -m figures $(FIG) --profile $(PROFILE) --jobs $(JOBS)

quick: $(VENV)/.figures
	$(PY) -m figures $(FIG) --profile quick --jobs $(JOBS) --out build/quick

test: $(VENV)/.installed
	$(PY) -m pytest -n 2

# Not part of `make test`: it runs until its time is over, and goes on where it stopped.
mutants: $(VENV)/.installed
	$(PY) tests/mutants.py --minutes $(MINUTES) --seed $(SEED)

# At least one round over all public functions, then others until the time is over.
hunt: $(VENV)/.installed
	$(PY) tests/hunt.py --minutes $(MINUTES) --seed $(SEED)

# One group in one process after another. JPC_PYTHON and FABRICPC_PYTHON name interpreters that have these
# libraries. GROUP=large, a stream of 1e7 samples and a Hessian of 1e7 weights, runs only by its name.
bench: $(VENV)/.installed
	$(PY) -m experiments.benchmarks $(GROUP)

types: $(VENV)/.installed
	$(PY) -m mypy

lint: types docstrings
	$(PY) -m ruff check
	$(PY) -m ruff format --check

# Parameters, returned values and errors that a docstring of more than one line leaves out.
docstrings: $(VENV)/.installed
	$(PY) -m ruff check --preview --select D417,DOC201,DOC402,DOC501 pctheory

# Before anything is computed: is all of LaTeX there that the paper loads?
latex:
	@for file in $(LATEX); do kpsewhich $$file > /dev/null 2>&1 || { \
	  echo "make paper needs LaTeX, with $$file: on Debian, apt-get install latexmk lmodern texlive-latex-extra \
	texlive-fonts-recommended texlive-pictures (94 MB)."; exit 1; }; done
	@command -v latexmk > /dev/null || { echo "make paper needs latexmk: on Debian, apt-get install latexmk."; exit 1; }

# \pcstrict turns everything that was not generated (a figure, a caption, a number) into an error. The documents read one
# another's labels, hence the supplement twice. latexmk skips a document of which nothing has changed, unless it failed.
paper: latex $(VENV)/.installed figures
	$(PY) -m pctheory.claims verify --jobs $(JOBS)
	$(PY) -m paper.generate
	$(MAKE) pdf

pdf: latex
	@cd paper && for document in supplement main supplement derivations; do \
	  max_print_line=1000 latexmk -pdf -silent -halt-on-error -interaction=nonstopmode -outdir=build \
	    -usepretex='\def\pcstrict{}' $$document.tex \
	    || { rm -f build/$$document.fdb_latexmk; tail -n 30 build/$$document.log; exit 1; }; \
	done
	@cd paper/build && ! grep -HE "(Reference|Citation).*undefined|There were undefined|multiply defined" \
	  main.log supplement.log derivations.log \
	  || { echo "The paper has undefined references or citations (above)."; exit 1; }
	@cd paper/build && ! grep -H -A 1 -E "Overfull .hbox .([2-9]|[0-9]{2,})[.0-9]*pt" \
	  main.log supplement.log derivations.log \
	  || { echo "The paper has lines that are wider than the text by 2 pt or more (above)."; exit 1; }
	@grep -Eq "main.pdf .([12]?[0-9]|30) pages" paper/build/main.log \
	  || { echo "The main text is longer than 30 pages."; exit 1; }
	@echo "paper/build: main.pdf, supplement.pdf, derivations.pdf"

# Runs the notebooks, keeps their output until they change; DOCS_NOTEBOOKS=off shows them without. Shows the figures
# and the paper that are there.
docs: $(VENV)/.installed
	$(PY) -m docs

notebooks: $(VENV)/.installed
	$(PY) -m pytest --nbmake experiments/notebooks/*.ipynb

lab: $(VENV)/.installed
	$(PY) -m jupyterlab experiments/notebooks/1_tour.ipynb

# Interrupted, it is continued by `make figures`; git has the committed results.
reproduce: $(VENV)/.installed $(VENV)/.data
	rm -rf experiments/results/cpu
	$(PY) -m experiments --profile cpu --jobs $(JOBS)
	$(PY) -m figures --profile cpu --jobs $(JOBS)

readme: $(VENV)/.installed
	$(PY) tests/architecture.py

clean:
	rm -rf build dist docs/_build figures/out paper/build paper/generated experiments/results/quick
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find experiments/results -name checkpoints -type d -prune -exec rm -rf {} +
	find pctheory experiments figures tests docs -name __pycache__ -type d -prune -exec rm -rf {} +
