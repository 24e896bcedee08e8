DEMO := examples/xtb-gradients

.PHONY: demo demo-clean test test-fast test-condor test-slurm clean

demo: ## run 1,025 real molecules through xtb with Work Queue
	@./shell wqmaster import $(DEMO)/campaign.yaml $(DEMO)/molecules.extxyz.gz
	@./shell wqmaster run $(DEMO)/campaign.yaml

demo-clean: ## delete the demo's results
	@./shell wqmaster db stop $(DEMO)/campaign.yaml
	rm -rf $(DEMO)/*.run

test: ## check style, types, imports and dead code; run all tests
	./shell ruff check .
	./shell ruff format --check .
	./shell mypy
	./shell lint-imports
	./shell vulture
	cd / && $(CURDIR)/shell wqmaster --version
	./shell pytest -n auto --dist loadgroup --no-loadscope-reorder

test-fast: ## run the unit tests, which need no processes: under a minute
	WQMASTER_MUTATIONS=1000 ./shell pytest -n auto tests/unit

test-condor: ## run the tests that need HTCondor: a personal pool on loopback
	./shell pytest tests/condor

test-slurm: ## run the tests that need SLURM: a cluster of one node on loopback
	./shell pytest tests/slurm

clean: ## delete the private environment
	rm -rf --one-file-system .environment
