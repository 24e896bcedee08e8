"""``python -m wqmaster`` is the command ``wqmaster``."""

from wqmaster.cli import main

main()
