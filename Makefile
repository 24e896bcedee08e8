DEMO := examples/xtb-gradients

.PHONY: demo demo-clean test test-fast test-condor test-slurm clean

demo: ## 1,025 real molecules through Work Queue and xtb
	@./shell wqmaster import $(DEMO)/campaign.yaml $(DEMO)/molecules.extxyz.gz
	@./shell wqmaster run $(DEMO)/campaign.yaml

demo-clean: ## forget the demo's results, to run it afresh
	@./shell wqmaster db stop $(DEMO)/campaign.yaml
	rm -rf $(DEMO)/*.run

test: ## style, types, imports, dead code, tests
	./shell ruff check .
	./shell ruff format --check .
	./shell mypy
	./shell lint-imports
	./shell vulture
	cd / && $(CURDIR)/shell wqmaster --version
	./shell pytest -n auto --dist loadgroup --no-loadscope-reorder

test-fast: ## of these, what needs no process: under a minute
	WQMASTER_MUTATIONS=1000 ./shell pytest -n auto tests/unit

test-condor: ## of these, what needs HTCondor: a personal pool on loopback
	./shell pytest tests/condor

test-slurm: ## and SLURM: a cluster of one node on loopback
	./shell pytest tests/slurm

clean: ## the private environment as well
	rm -rf --one-file-system .environment
