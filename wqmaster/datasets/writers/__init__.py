"""One module per kind of file, with writers that follow the contract in `datasets/base.py`."""
