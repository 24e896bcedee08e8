"""How a route of ORCA becomes a tighter single point at the same level of theory.

Grids: "DEFGRID1 to 3" since ORCA 5, "GridN" and "FinalGridN" before (ORCA manual, "Numerical
Integration"). Convergence: "SloppySCF" to "ExtremeSCF" (manual, "SCF Convergence"). Since ORCA 5,
density fitting is used without being named: RI-J for functionals without exact exchange, RIJCOSX
for hybrids; "NoRI" and "NoCOSX" turn it off (manual, "Resolution of the Identity").
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from wqmaster.tasks.orca.keywords import sections
from wqmaster.tasks.orca.leaves import keeps_geometry
from wqmaster.tasks.orca.remedies import comments_out
from wqmaster.tasks.orca.route import Route, read
from wqmaster.tasks.program import Change

# The first version with DEFGRID, and without GridN.
_NEW_GRIDS_VERSION = 5
_OLD_GRID = re.compile(r"(final)?grid[0-7](_old)?|nofinalgrid(_old)?")
_NEW_GRID = re.compile(r"defgrid[123]")
_WEAKER_SCF = re.compile(r"(sloppy|loose|normal|strong|tight)scf|scfconv[1-8]")
_TIGHT_SCF = frozenset({"verytightscf", "extremescf"})
_CONVERGENCE = re.compile(
    r"(%\s*scf\b[^%!]*?\bconvergence\s+)(sloppy|loose|medium|normal|strong|tight)\b", re.IGNORECASE
)
_FITTING = re.compile(
    r"ri|ri-?jk|rij(-?cosx|onx|dx)|ricosjx?|cosjxc|(no)?split-?ri-?j|splitj|"
    r".*/(j|jk|jksmall)|autoaux|def2-(mt?zvpp?|msvp)/j"
)
_NO_FITTING = frozenset({"nori", "nocosx"})
# Methods beyond the SCF, for which fitting is part of the method or of its auxiliary basis, and
# composite methods, which bring their own.
_BEYOND = re.compile(
    r"dlpno-.*|ri-.*|.*plyp.*|dsd-.*|rev(dsd|dod)-.*|.*qidh.*|.*0-2|.*-?0?-dh|pwpb95|.*cidh|"
    r"wb97x-2.*|wb97m\(2\)|wb88pp86|wpbepp86|k?p?r2scan[0-9]+|wpr2scan50|scs.*|sos-.*|rsx-.*|"
    r".*3c|.*/c|f12.*|.*-f12.*|hfld|hflda"
)
_BEYOND_SECTIONS = (
    "wave functions",
    "semiempirical methods and force fields",
    "double hybrids of earlier versions",
    "correlated methods of earlier versions",
)
_BEYOND_BLOCKS = ("mp2", "mdci", "tddft", "cis", "casscf", "mrci", "autoci", "rocis")
_SCF_METHODS = frozenset({"hf"})
# The sections of ORCA's keywords that determine the level of theory.
_THEORY_SECTIONS = (
    "functionals",
    "wave functions",
    "semiempirical methods and force fields",
    "dispersion and basis set corrections",
    "basis sets",
    "relativity",
    "solvation",
    "basis sets of earlier versions",
    "double hybrids of earlier versions",
    "correlated methods of earlier versions",
)
_SOLVATION = re.compile(r"(c-?pcm|cpcmc|cpcmx|smd(18)?|alpb|cosmo(rs)?|ddcosmo)(\(.*\))?")
_THEORY_BLOCKS = ("basis", "ecp", "rel", "dkh", "cpcm", "cosmo", "casscf", "mrci", "xtb")
# Of a run that moves the atoms, computes second derivatives, or starts from earlier orbitals.
_MOVING = re.compile(r".*opt(h|ts)?|l-opth?|(an|anal|num|scan)?freq|md|xyzfile|moread")
_MOVING_BLOCKS = re.compile(r"%\s*(geom|freq|moinp)\b[^%!]*", re.IGNORECASE)
_GRADIENT = frozenset({"engrad", "energygrad"})


def edited(route: str, remove: Callable[[str], bool], add: Sequence[str] = ()) -> str:
    """`route` without the simple keywords for which `remove` is true, and with those in `add`.

    Comments are left out. Keywords are passed to `remove` in lower case.
    """
    lines = []
    for line in comments_out(route).splitlines():
        if not line.lstrip().startswith("!"):
            lines.append(line)
            continue
        words, percent, block = line.partition("%")
        kept = re.sub(r"[^\s!]+", lambda found: "" if remove(found[0].lower()) else found[0], words)
        if kept.strip("! ") or percent:
            lines.append(f"{' '.join(kept.split())} {percent}{block}".strip())
    if add:
        lines.append(f"! {' '.join(add)}")
    return "\n".join(line for line in lines if line.strip()) + "\n"


def tighter(options: Mapping[str, Any], version: str | None) -> Sequence[Change]:
    """The changes for a single point: the finest usual grid, a tight SCF, no density fitting.

    `version` is ORCA's: a route of ORCA 4 has other keywords for grids.
    """
    return tuple(_changes(read(options["route"]), version))


def _changes(route: Route, version: str | None) -> Iterator[Change]:
    words = route.words
    if not words & sections()["semiempirical methods and force fields"]:
        old = _is_old(words, version)
        grid, finest = (_OLD_GRID, ("Grid6", "NoFinalGrid")) if old else (_NEW_GRID, ("DEFGRID3",))
        if not {word.lower() for word in finest} <= words and not words & {"grid7"}:
            yield Change("grid", _changing(grid, finest))
    weak_block = _CONVERGENCE.search(f"%scf {route.block('scf')}")
    if not words & _TIGHT_SCF or weak_block:
        yield Change("scf", _converged)
    if not _is_beyond(route) and not words >= _NO_FITTING:
        is_dft = bool(words & sections()["functionals"])
        if is_dft or any(map(_FITTING.fullmatch, words)):
            # Before ORCA 5, hybrids had no fitting unless it was named, and there was no NoCOSX.
            off = ("NoRI",) if _is_old(words, version) else ("NoRI", "NoCOSX")
            yield Change("density_fit", _changing(_FITTING, off if is_dft else ()))


def _is_old(words: frozenset[str], version: str | None) -> bool:
    major = (version or "").partition(".")[0]
    if major.isdecimal():
        return int(major) < _NEW_GRIDS_VERSION
    return any(map(_OLD_GRID.fullmatch, words))


def _is_beyond(route: Route) -> bool:
    """Whether the method is more than an SCF, or it is not certain that it is not."""
    known = frozenset().union(*(sections()[name] for name in _BEYOND_SECTIONS)) - _SCF_METHODS
    return (
        bool(route.words & known)
        or any(map(_BEYOND.fullmatch, route.words))
        or route.has_block(*_BEYOND_BLOCKS)
        or any(route.unknown())
    )


def _changing(
    gone: "re.Pattern[str]", added: Sequence[str]
) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    names = {word.lower() for word in added}

    def apply(options: Mapping[str, Any]) -> dict[str, Any]:
        route = edited(
            options["route"], lambda word: bool(gone.fullmatch(word)) or word in names, added
        )
        return {**options, "route": route}

    return apply


def _converged(options: Mapping[str, Any]) -> dict[str, Any]:
    route = comments_out(options["route"])
    added = () if read(route).words & _TIGHT_SCF else ("VeryTightSCF",)
    route = edited(route, lambda word: bool(_WEAKER_SCF.fullmatch(word)), added)
    return {**options, "route": _CONVERGENCE.sub(r"\g<1>VeryTight", route)}


def theory(options: Mapping[str, Any]) -> dict[str, Any]:
    """The method, basis set, corrections, solvent and Hamiltonian that the route names."""
    route = read(options["route"])
    found: dict[str, Any] = {}
    for name in _THEORY_SECTIONS:
        words = sorted(route.words & sections()[name])
        if words:
            found[name] = words
    solvents = sorted(word for word in route.words if _SOLVATION.fullmatch(word))
    if solvents:
        found["solvation"] = sorted({*solvents, *found.get("solvation", ())})
    for name in _THEORY_BLOCKS:
        if route.has_block(name):
            found[f"%{name}"] = route.block(name)
    return found


def single_point(function: str, options: Mapping[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """The single point with the gradient, at the level of a route that may also move the atoms.

    None if it is not certain that the remaining route keeps the geometry.
    """
    route = _MOVING_BLOCKS.sub("", comments_out(options["route"]))
    gradient = () if read(route).words & _GRADIENT else ("EnGrad",)
    found = {"route": edited(route, lambda word: bool(_MOVING.fullmatch(word)), gradient)}
    return (function, found) if keeps_geometry(_Route(found["route"])) else None


class _Route:
    """The options of a step, as `keeps_geometry` reads them."""

    def __init__(self, route: str) -> None:
        self.route = route
