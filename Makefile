DEMO := examples/xtb-gradients

.PHONY: demo demo-clean test clean

demo: ## 1,025 real molecules through Work Queue and xtb
	@./shell wqmaster import $(DEMO)/campaign.yaml $(DEMO)/molecules.extxyz.gz
	@./shell wqmaster run $(DEMO)/campaign.yaml

demo-clean: ## forget the demo's results, to run it afresh
	@./shell wqmaster db stop $(DEMO)/campaign.yaml
	rm -rf $(DEMO)/*.run

test: ## style, types, tests
	./shell ruff check .
	./shell ruff format --check .
	./shell mypy
	./shell pytest

clean: ## the private environment as well
	rm -rf --one-file-system .environment
