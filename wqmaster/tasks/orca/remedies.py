"""Remedies for ORCA: changes to a route that do not change the level of theory.

Only keywords that control *how* equations are solved are allowed (ORCA manual, "SCF Convergence",
"Geometry optimizations", "MDCI"). A rung with any other keyword (basis, functional, grid, RI,
thresholds) is refused when the campaign is read.
"""

import re
from collections.abc import Iterator

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from wqmaster.campaign.base import available
from wqmaster.jobs.failures import FailureClass
from wqmaster.tasks.base import Ladders, Rung

_GUESSES = frozenset({"patom", "pmodel", "hueckel", "hcore", "moread"})
# Simple keywords, which follow "!". Those in the same group exclude each other.
GROUPS = (
    frozenset({"easyconv", "fastconv", "normalconv", "slowconv", "veryslowconv"}),
    _GUESSES,
    frozenset({"diis", "nodiis"}),
    frozenset({"kdiis", "nokdiis"}),
    frozenset({"soscf", "nososcf"}),
    frozenset({"nrscf", "nonrscf"}),
    frozenset({"trah", "notrah"}),
    frozenset({"damp", "nodamp"}),
    frozenset({"lshift", "nolshift"}),
    frozenset({"ahscf"}),
    frozenset({"conv", "direct"}),
    frozenset({"autostart", "noautostart"}),
)
_SIMPLE = frozenset().union(*GROUPS) - {"moread", "autostart", "noautostart"}


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# The allowed keys of each block. Each takes a value. The allowed keys of inner blocks, which end
# with "end", follow below.
_KEYS = {
    "scf": _words(
        "maxiter guess guessmode directresetfreq diisstart diismaxeq diismaxit diisbfac diismaxc "
        "cnvdiis cnvkdiis cnvsoscf cnvnr cnvdamp cnvshift dampfac damperr dampmax dampmin lshift "
        "levelshift erroff shifterr soscfstart soscfmaxit soscfmaxstep autotrah autotrahtol "
        "autotrahiter autotrahninter"
    ),
    "geom": _words("maxiter maxstep trust coordsys inhess calc_hess recalc_hess update"),
    "mdci": _words("maxiter maxdiis diisstartiter lshift levelshift maxcore"),
    "tddft": _words("maxiter maxdim"),
    "cis": _words("maxiter maxdim"),
    "method": _words("z_maxiter z_solver"),
}
_BELOW = {
    ("scf", "shift"): frozenset({"shift", "erroff"}),
    ("scf", "damp"): frozenset({"fac", "erroff", "min", "max"}),
    ("scf", "diis"): frozenset({"start", "maxeq", "bfac", "maxit", "maxc"}),
    ("scf", "soscf"): frozenset({"start", "maxit", "maxstep"}),
    ("scf", "trah"): frozenset({"maxmacroiter", "maxmicroiter", "ninter", "tradius"}),
}
_INSTEAD = {"maxcore": "'memory: FACTOR'", "pal": "'processes: N'", "moinp": "'restart: true'"}
_VALUE = re.compile(r"[A-Za-z0-9_.+-]{1,30}")


def comments_out(text: str) -> str:
    """`text` without ORCA's comments, which extend from # to the next # or the line's end."""
    return re.sub(r"#[^#\n]*(#|$)", " ", text, flags=re.MULTILINE)


def _block(name: str, words: Iterator[str]) -> None:
    """Check one block of a rung's route up to its "end".

    Raises:
        ValueError: a word is not allowed, or "end" is missing; the message names the word.
    """
    for word in words:
        key = word.lower()
        if key == "end":
            return
        if (name, key) in _BELOW:
            for inner in words:
                if inner.lower() == "end":
                    break
                _pair(f"%{name} {word}", inner, next(words, ""), _BELOW[name, key])
        else:
            _pair(f"%{name}", word, next(words, ""), _KEYS[name])
    raise ValueError(f"the block %{name} has no 'end'")


def _pair(place: str, key: str, value: str, known: frozenset[str]) -> None:
    if key.lower() not in known:
        raise ValueError(
            f"'{key}' in {place} may change the level of theory, so it is not a remedy; "
            f"{available(known)}"
        )
    if value.lower() == "end" or not _VALUE.fullmatch(value):
        raise ValueError(f"'{key}' in {place} has no value")


def check_route(text: str) -> None:
    """Check that a rung's route changes only how the answer is computed.

    Raises:
        ValueError: the route can change the level of theory, or is not valid; the message names the
            word.
    """
    rest = []
    for line in comments_out(text).splitlines():
        if line.lstrip().startswith("!"):
            for word in line.replace("!", " ").split():
                if word.lower() not in _SIMPLE:
                    raise ValueError(
                        f"'{word}' may change the level of theory, so it is not a remedy; "
                        f"{available(_SIMPLE)}"
                    )
        else:
            rest.append(line)
    words = iter(" ".join(rest).split())
    for word in words:
        name = word.lower().removeprefix("%")
        if name in _INSTEAD:
            raise ValueError(f"in a remedy, write {_INSTEAD[name]} instead of %{name}")
        if not word.startswith("%") or name not in _KEYS:
            raise ValueError(
                f"'{word}' may change the level of theory, so it is not a remedy; allowed blocks: "
                f"{', '.join(f'%{known}' for known in _KEYS)}"
            )
        _block(name, words)


class OrcaRung(Rung):
    """A remedy for ORCA."""

    # Keywords and blocks added to the step's route.
    route: str = Field(default="", max_length=2000)
    # The number of processes, instead of `resources: cores`, which it cannot exceed.
    processes: int | None = Field(default=None, gt=0)

    @field_validator("route")
    @classmethod
    def _way_only(cls, route: str) -> str:
        try:
            check_route(route)
        except ValueError as error:
            raise PydanticCustomError("no_remedy", "{why}", {"why": str(error)}) from error
        return route


def applied(route: str, rung: OrcaRung) -> str:
    """`route` with the rung's additions, without the keywords that these exclude."""
    simple: list[str] = []
    blocks: list[str] = []
    for line in comments_out(rung.route).splitlines():
        if line.lstrip().startswith("!"):
            simple += line.replace("!", " ").split()
        elif line.strip():
            blocks.append(line.strip())
    if rung.restart:
        simple.append("moread")
    route = without(route, {word.lower() for word in simple})
    added = [f"! {' '.join(simple)}"] if simple else []
    return "\n".join([route.rstrip("\n"), *added, *blocks]) + "\n"


def guesses(rung: OrcaRung) -> bool:
    """Whether the simple keywords of the rung include an initial guess."""
    return any(
        word in _GUESSES
        for line in comments_out(rung.route).lower().splitlines()
        if line.lstrip().startswith("!")
        for word in line.replace("!", " ").split()
    )


def without(route: str, words: set[str]) -> str:
    """`route` without the simple keywords in the groups to which `words` belong."""
    gone = set().union(*(group for group in GROUPS if group & words))

    def kept(line: str) -> str | None:
        if not line.lstrip().startswith("!") or not gone:
            return line
        rest = re.sub(
            r"[^\s!]+", lambda found: "" if found[0].lower() in gone else found[0], line
        ).rstrip()
        return rest if rest.strip("! ") or rest == line else None

    return "\n".join(line for line in map(kept, route.splitlines()) if line is not None)


_SLOW = OrcaRung(name="slow_conv", route="! SlowConv\n%scf maxiter 500 end")
_KDIIS = OrcaRung(name="kdiis_soscf", route="! KDIIS SOSCF SlowConv\n%scf maxiter 500 end")
_VERY_SLOW = OrcaRung(
    name="very_slow_conv",
    route="! VerySlowConv Hueckel\n%scf maxiter 1000 directresetfreq 5 diismaxeq 15 end",
)
_MEMORY = (OrcaRung(name="memory_2x", memory=2), OrcaRung(name="memory_4x", memory=4))
_SERIAL = OrcaRung(name="serial", processes=1)

LADDERS: Ladders = {
    FailureClass.SCF_NOT_CONVERGED: (_SLOW, _KDIIS, _VERY_SLOW),
    # A diverged SCF causes such an energy.
    FailureClass.IMPLAUSIBLE_ENERGY: (_SLOW, _VERY_SLOW),
    FailureClass.DIVERGED: (_SLOW, _VERY_SLOW),
    FailureClass.CC_NOT_CONVERGED: (
        OrcaRung(name="cc_iterations", route="%mdci maxiter 200 end"),
        OrcaRung(name="cc_diis", route="%mdci maxiter 300 maxdiis 15 end"),
    ),
    FailureClass.OPT_NOT_CONVERGED: (
        OrcaRung(name="opt_continued", restart=True, route="%geom maxiter 200 end"),
        OrcaRung(
            name="opt_cartesian", restart=True, route="%geom maxiter 300 coordsys cartesian end"
        ),
    ),
    FailureClass.RESPONSE_NOT_CONVERGED: (
        OrcaRung(name="response_iterations", route="%method z_maxiter 500 end"),
    ),
    FailureClass.MEMORY: _MEMORY,
    FailureClass.TOO_MANY_PROCESSES: (_SERIAL,),
    FailureClass.MODULE_CRASH: (OrcaRung(name="module_memory_2x", memory=2),),
}
