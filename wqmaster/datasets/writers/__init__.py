"""One module per kind of file; each has writers that follow the contract in `datasets/base.py`."""
