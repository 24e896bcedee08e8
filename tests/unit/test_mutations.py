"""From truncated, altered or shuffled outputs, a parser returns a value or raises ParseError.

10,000 inputs by default; WQMASTER_MUTATIONS sets another number.
"""

import inspect
import math
import os
import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wqmaster.errors import ParseError
from wqmaster.jobs.failures import Failure
from wqmaster.jobs.job import Asked
from wqmaster.offline.parse import parsers_named
from wqmaster.parsers.base import Output
from wqmaster.recipe.values import not_finite, plain
from wqmaster.tasks.programs import programs
from wqmaster.testing.mutation import mutated

DATA = Path(__file__).parent / "data"
SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
USUAL_COUNT = 10_000
COUNT = int(os.environ.get("WQMASTER_MUTATIONS", USUAL_COUNT))
ASKED = Asked("x", 1, 3, 0, 1, "f", "r", "t")


def sources(program: str) -> list[Mapping[str, bytes]]:
    """The files of some runs: small fixtures, and real outputs if they are available."""
    found: list[Mapping[str, bytes]] = []
    known = getattr(programs()[program].module, "file_name", lambda name: None)
    for place in (DATA / program, SHARED / program):
        for path in sorted(place.rglob("*")) if place.is_dir() else ():
            if path.is_file() and path.suffix not in (".md", ".tsv", ".txt", ".py"):
                found.append({known(path.name) or "stdout": path.read_bytes()[:60_000]})
    for folder in sorted(DATA.glob(f"{program}/*/")):
        found.append({path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()})
    if not found:
        found.append({"stdout": b"1 2 3\n{}\n", "result.json": b'{"ok": true, "value": [1.5]}'})
    return found


def inputs(program: str) -> st.SearchStrategy[dict[str, bytes]]:
    """A strategy that draws mutated runs of a program."""
    runs = sources(program)

    def made(number: int) -> dict[str, bytes]:
        chance = random.Random(number)  # noqa: S311  # not for secrets
        run = dict(chance.choice(runs))
        name = chance.choice(sorted(run))
        run[name] = mutated(run[name], chance)
        return run

    return st.integers(min_value=0, max_value=2**63).map(made)


def outcomes(program: str, run: Mapping[str, bytes]) -> Iterator[tuple[str, Any]]:
    """The value of each parser that does not raise ParseError; other exceptions propagate."""
    output = Output(run)
    for name, parser in PARSERS[program].items():
        try:
            yield name, plain(parser(output.beside(parser.files[0])))  # type: ignore[attr-defined]
        except ParseError:
            continue


PROGRAMS = sorted(programs())
PARSERS = {name: parsers_named(program) for name, program in programs().items()}


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_parser_raises_nothing_but_a_parse_error(program: str) -> None:
    share = math.ceil(COUNT * (3 if program == "orca" else 1) / (len(PROGRAMS) + 2))

    @settings(
        max_examples=share,
        deadline=None,
        database=None,
        # The inputs are the same each time, unless more than usual are requested.
        derandomize=COUNT <= USUAL_COUNT,
        suppress_health_check=list(HealthCheck),
    )
    @given(inputs(program))
    def hold(run: dict[str, bytes]) -> None:
        for name, value in outcomes(program, run):
            not_finite(value, name)
        for asked in (None, ASKED):
            verdict = programs()[program].module.diagnose(Output(run), asked, {})
            assert verdict is None or isinstance(verdict, Failure)
            assert verdict is None or "\n" not in verdict.message

    hold()


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_parser_declares_its_files_and_has_a_docstring(program: str) -> None:
    for name, parser in PARSERS[program].items():
        assert inspect.getdoc(parser), name
        assert parser.files, name  # type: ignore[attr-defined]
