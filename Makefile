DEMO := examples/xtb-gradients
# All shell scripts in the repository (tests/unit/test_house.py looks for others).
SCRIPTS := shell .ci/run environment/*.sh benchmarks/*.sh wqmaster/*/*.sh tests/stand_ins/orca_stand_in
# The least share of lines, in percent, that the tests must run. The unit tests alone run 70 %. Lines that
# run only in separate processes (collectors, supervisors, commands) are not counted.
COVERAGE_FLOOR := 69
# sys.monitoring (Python 3.12 or later) costs 4 to 6 % more processor time in the unit tests.
COVERAGE := COVERAGE_CORE=sysmon
COVERED := --cov --cov-report= --cov-fail-under=$(COVERAGE_FLOOR)

.PHONY: demo demo-clean dft hooks lint shellcheck test test-fast test-condor test-slurm test-trainers chaos soak clean

demo: ## run 1,025 real molecules through xtb
	@./shell wqmaster import $(DEMO)/campaign.yaml $(DEMO)/molecules.extxyz.gz
	@./shell wqmaster run $(DEMO)/campaign.yaml

dft: ## run 100 small molecules through PySCF: DFT energies and gradients
	@./shell --with pyscf wqmaster import examples/dft-pyscf/campaign.yaml examples/dft-pyscf/molecules.extxyz
	@./shell --with pyscf wqmaster run examples/dft-pyscf/campaign.yaml

demo-clean: ## delete the demo's results
	@./shell wqmaster db stop $(DEMO)/campaign.yaml
	rm -rf $(DEMO)/*.run

lint: shellcheck ## check style, spelling, types, imports, dead code and shell scripts
	./shell ruff check .
	./shell ruff format --check .
	./shell codespell
	./shell mypy
	./shell lint-imports
	./shell vulture

shellcheck:
	@if ./shell sh -c 'command -v shellcheck' > /dev/null; then \
	    echo ./shell shellcheck $(SCRIPTS); ./shell shellcheck $(SCRIPTS); \
	elif [ -n "$$WQMASTER_NO_SKIPS" ]; then \
	    echo "shellcheck is not installed, and must not be skipped here" >&2; exit 1; \
	else echo "skipped: shellcheck is not installed (Debian and conda-forge: shellcheck)" >&2; fi

test: lint ## run the linters and all tests, with coverage (./shell coverage report -m shows the lines)
	cd / && $(CURDIR)/shell wqmaster --version
	$(COVERAGE) ./shell --with pyscf pytest -n auto --dist loadfile --no-loadscope-reorder $(COVERED)

hooks: ## run the linters before each commit: git calls pre-commit in this checkout's environment
	./shell pre-commit validate-config
	mkdir -p "$$(git rev-parse --git-path hooks)"
	printf '#!/bin/sh\n# Written by make hooks.\nexec ./shell pre-commit hook-impl --config=.pre-commit-config.yaml --hook-type=pre-commit --hook-dir="$$(dirname "$$0")" -- "$$@"\n' > "$$(git rev-parse --git-path hooks)/pre-commit"
	chmod 755 "$$(git rev-parse --git-path hooks)/pre-commit"

test-fast: ## run the unit tests, which start no processes: under a minute
	WQMASTER_MUTATIONS=1000 ./shell pytest -n auto tests/unit

test-condor: ## run the tests that need HTCondor: a personal pool on loopback
	./shell pytest tests/condor

test-slurm: ## run the tests that need SLURM: a cluster of one node on loopback
	./shell pytest tests/slurm

# How many runs of the fault harness, and how long the soak lasts.
RUNS := 200
MINUTES := 20

chaos: ## disturb RUNS (200) services at random and judge them; a run takes a minute or two
	./shell python -m tests.chaos --runs $(RUNS) $(if $(SEED),--seed $(SEED))

soak: ## serve three campaigns for MINUTES (20): memory, descriptors, threads, spool and logs stay flat
	./shell python -m tests.chaos.soak --minutes $(MINUTES)

test-trainers: ## read exported files with the trainers' own readers (installs them: 5 GB, some minutes)
	bash environment/trainers.sh $(CURDIR)/.environment/trainers
	WQMASTER_TRAINERS=$(CURDIR)/.environment/trainers ./shell pytest tests/trainers

clean: ## delete the private environment
	rm -rf --one-file-system .environment
