"""Parsers of other projects; runs in the environment that peers.sh makes.

    python parsers_side.py

Reads lines "READER PATH" from standard input, where READER is cclib or qccodec. For each, prints as
JSON the seconds of CPU time that reading this ORCA output took, and the values in atomic units: {}
if that fails.
"""

import contextlib
import json
import logging
import sys
import time
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cclib
from qccodec.programs import orca

# cclib's conversion factors (cclib.parser.utils).
EV_PER_EH = 27.21138505
DEBYE_PER_AU = 2.5417462300548436


def read_cclib(path: str) -> dict[str, Any]:
    """Energy, gradient, dipole and Mulliken charges: what cclib reads, always with all else."""
    data = cclib.io.ccopen(path, loglevel=logging.CRITICAL + 1).parse()
    values: dict[str, Any] = {}
    if hasattr(data, "scfenergies"):
        values["energy"] = float(data.scfenergies[-1]) / EV_PER_EH
    if hasattr(data, "grads"):
        values["gradient"] = data.grads[-1].tolist()
    if hasattr(data, "moments") and len(data.moments) > 1:
        values["dipole"] = [float(value) / DEBYE_PER_AU for value in data.moments[1]]
    if "mulliken" in getattr(data, "atomcharges", {}):
        values["charges"] = list(map(float, data.atomcharges["mulliken"]))
    return values


def read_qccodec(path: str) -> dict[str, Any]:
    """Energy and gradient, by the parsers that qccodec applies to a standard output."""
    text = Path(path).read_text(errors="replace")
    values: dict[str, Any] = {}
    for name, parser in (("energy", orca.parse_energy), ("gradient", orca.parse_gradient)):
        with contextlib.suppress(Exception):
            values[name] = parser(text)
    return values


READERS = {"cclib": read_cclib, "qccodec": read_qccodec}


def main() -> None:
    """Answer each line; first state the versions."""
    warnings.simplefilter("ignore")
    print(json.dumps({name: version(name) for name in READERS}), flush=True)
    for line in sys.stdin:
        reader, _, path = line.rstrip("\n").partition(" ")
        begun = time.process_time()
        try:
            values = READERS[reader](path)
        except Exception:
            values = {}
        print(json.dumps([time.process_time() - begun, values]), flush=True)


if __name__ == "__main__":
    main()
