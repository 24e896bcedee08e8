"""Runs a script of wqmaster/datasets/trainers for many files, with one import of the trainer.

Usage: read_all.py SCRIPT FILE... What it prints for FILE goes to FILE.rows, and an error to
FILE.error, which is empty if there was none.
"""

import contextlib
import runpy
import sys
import traceback
from pathlib import Path


def main(script, paths):
    run = runpy.run_path(script)["main"]
    for path in paths:
        with (
            Path(f"{path}.rows").open("w") as rows,
            Path(f"{path}.error").open("w") as error,
            contextlib.redirect_stdout(rows),
        ):
            try:
                run(path)
            except Exception:  # a trainer can raise any exception
                error.write(traceback.format_exc())


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
