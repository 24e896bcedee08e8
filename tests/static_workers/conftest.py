"""Tests with static workers, which run only if WQMASTER_STATIC_WORKERS names a folder with some."""

import os

collect_ignore_glob = [] if "WQMASTER_STATIC_WORKERS" in os.environ else ["test_*.py"]
