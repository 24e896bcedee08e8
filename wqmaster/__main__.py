"""Run `python -m wqmaster`, which does the same as the command `wqmaster`."""

from wqmaster.cli.main import main

main()
