"""The campaigns of a run: documents, the program that computes them, and the values that are right.

A job computes a checksum of its molecule, so that the harness can compute the same value itself.
"""

import hashlib
import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

STEP = "sum"
# The last argument of each job's shell, by which its process is found.
JOB_MARK = "chaos-job"
# A job waits, writes some noise, and at last its result.
_SCRIPT = (
    'sleep "$(cat seconds)"; seq "$(cat lines)" | tee noise; '
    "printf '%d\\n' \"0x$(sha256sum < molecule | cut -c1-12)\" > answer"
)
_MOLECULE = "{{ document.coordinates | tojson }} {{ document.atomic_numbers | tojson }}"
_SHORTEST_SECONDS, _LONGEST_SECONDS = 0.2, 1.0
_MAX_ATOMS, _MAX_LINES = 30, 5_000


@dataclass(frozen=True)
class Campaign:
    """A campaign's name, and the database with its documents."""

    name: str
    database: str

    @property
    def done(self) -> dict[str, Any]:
        """The query for documents that have a result."""
        return {"set": self.name, f"{self.name}.{STEP}": {"$ne": None}}


def documents(name: str, count: int, chance: random.Random, first: int = 0) -> list[dict[str, Any]]:
    """Random molecules of a campaign, each with the time that its job takes."""
    found = []
    for number in range(first, first + count):
        numbers = [chance.randint(1, 54) for _ in range(chance.randint(1, _MAX_ATOMS))]
        found.append(
            {
                # A run takes documents in the order of their ids, so later ones come last.
                "_id": f"{name}-{number:06d}",
                "set": name,
                "atomic_numbers": numbers,
                "coordinates": [
                    [chance.uniform(-9, 9), 3.0 * place, chance.uniform(-1, 1)]
                    for place in range(len(numbers))
                ],
                "multiplicity": 1 + sum(numbers) % 2,
                "seconds": round(chance.uniform(_SHORTEST_SECONDS, _LONGEST_SECONDS), 2),
                "lines": chance.randint(1, _MAX_LINES),
            }
        )
    return found


def right_value(document: dict[str, Any]) -> int:
    """The value that a document's job computes."""
    text = f"{json.dumps(document['coordinates'])} {json.dumps(document['atomic_numbers'])}"
    return int(hashlib.sha256(text.encode()).hexdigest()[:12], 16)


def write_file(folder: Path, campaign: Campaign, **more: Any) -> Path:
    """Write the campaign's file, with further keys; return its path."""
    step = {
        "name": STEP,
        "command": ["sh", "-c", _SCRIPT, JOB_MARK],
        "files": {
            "molecule": _MOLECULE,
            "seconds": "{{ document.seconds }}",
            "lines": "{{ document.lines }}",
        },
        "outputs": ["noise"],
        "parsers": {"answer": ["number"]},
    }
    settings = {
        "campaign": campaign.name,
        "campaign_config": {
            "func_name": "wqmaster.tasks.command.run",
            "job_timeout": 60,
            "args": [step],
        },
        "submit": {"query": {"set": campaign.name, f"{campaign.name}.{STEP}": None}},
        "checks": {"closest_atoms": "off"},
        # The time to the next result is measured, and a result comes back with its bundle.
        "bundle": 1,
        **more,
    }
    path = folder / f"{campaign.name}.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


def stored_value(document: dict[str, Any], campaign: Campaign) -> float | None:
    """The value that is stored in a document; None if there is none."""
    found = (document.get(campaign.name) or {}).get(STEP)
    value: float | None = None if found is None else found["number"]
    return value
