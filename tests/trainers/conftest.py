"""Tests with the trainers' own readers, which only `make test-trainers` runs."""

import os

# The folder with the environments that environment/trainers.sh makes.
FOLDER = os.environ.get("WQMASTER_TRAINERS", "")
if not FOLDER:
    collect_ignore_glob = ["test_*.py"]
