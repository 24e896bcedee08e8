"""``python -m wqmaster`` is the command ``wqmaster``."""

from wqmaster.cli.main import main

main(prog_name="wqmaster")
