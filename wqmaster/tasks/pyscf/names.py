"""The functionals, basis sets, dispersion corrections and solvents that PySCF knows.

The lists beside this file come from PySCF 2.14's own tables; each list names its table. A newer
PySCF may know more, so a name that the lists lack is looked up in an installed PySCF.
"""

import difflib
import importlib.util
import re
from functools import cache
from importlib import resources
from typing import Literal

from wqmaster.campaign.base import nearest

# scf/dispersion.py: DISP_VERSIONS. "2b" (without) or "atm" (with a three-body term) can follow.
DISPERSIONS = ("d3bj", "d3zero", "d3bjm", "d3zerom", "d3op", "d4")
_DISPERSION = re.compile(rf"({'|'.join(DISPERSIONS)})(2b|atm)?(:[a-z0-9_.+-]+)?")
# scf/dispersion.py: _black_list; each value is what to write instead.
_UNSUPPORTED = {
    "wb97x-d": "wb97x-d3bj",
    "wb97x_d": "wb97x-d3bj",
    "wb97x-d3": "wb97x-d3bj",
    "wb97x_d3": "wb97x-d3bj",
    "wb97m-d3bj2b": "wb97m-d3bj",
    "wb97m-d3bjatm": "wb97m-d3bj",
    "b97m-d3bj2b": "b97m-d3bj",
    "b97m-d3bjatm": "b97m-d3bj",
}
# Functionals that need second-order perturbation theory, which the driver does not compute.
_DOUBLE_HYBRID = re.compile(
    r".*2plyp.*|b2gp.*|(rev)?dsd.*|xyg.*|pwpb95.*|ptpss.*|.*qidh|.*[-_]dh|wb97[xm][-(]2.*|(ri-?)?mp2"
)
# Functionals that include VV10 (dft/libxc.py: is_nlc), without "-" and "_".
_WITH_VV10 = re.compile(r".*vv10|.*(wb97x|wb97m|b97m)v|.*gas22")
# One term of an expression such as "0.2*HF + 0.8*B88, LYP".
_TERM = re.compile(r"(?:\d*\.?\d+\*)?([a-z][a-z0-9_-]*)(?:\([0-9.;-]+\))?")
_EXACT_EXCHANGE = frozenset({"hf", "sr_hf", "lr_hf", "rsh"})
# Families of Pople's sets, whose polarization functions may follow in parentheses.
_POPLE = re.compile(r"(631|6311|321|431)(\+{0,2})g\*{0,2}(\([0-9spdf,]+\))?")


@cache
def _list(name: str) -> tuple[str, ...]:
    text = (resources.files(__package__) / f"{name}.txt").read_text(encoding="utf-8")
    return tuple(line for line in text.splitlines() if line and not line.startswith("#"))


@cache
def _functionals() -> frozenset[str]:
    return frozenset(name.strip(",") for name in _list("functionals"))


@cache
def _one_sided() -> dict[str, str]:
    """Functionals for only exchange or only correlation, with the end of a message that says so."""
    found = {}
    for name in _list("functionals"):
        if name.startswith(","):
            found[name[1:]] = (
                f"is correlation only; name an exchange functional before it: 'pbe{name}'"
            )
        elif name.endswith(","):
            found[name[:-1]] = (
                f"is exchange only; name a correlation functional after it: '{name}pbe'"
            )
    return found


def _flat(name: str) -> str:
    """A basis set's name in the form that PySCF compares (gto/basis: _format_basis_name)."""
    return re.sub(r"[-_ ]", "", name.lower())


@cache
def _basis_sets() -> dict[str, str]:
    return {_flat(name): name for name in _list("basis_sets")}


# Common names of solvents that have another name in PySCF.
SOLVENT_ALIASES = {
    "h2o": "water",
    "ch2cl2": "dichloromethane",
    "dcm": "dichloromethane",
    "chcl3": "chloroform",
    "ccl4": "carbon tetrachloride",
    "ch3cn": "acetonitrile",
    "mecn": "acetonitrile",
    "meoh": "methanol",
    "etoh": "ethanol",
    "thf": "tetrahydrofuran",
    "dmso": "dimethylsulfoxide",
    "dimethyl sulfoxide": "dimethylsulfoxide",
    "dmf": "N,N-dimethylformamide",
    "dmac": "N,N-dimethylacetamide",
    "dioxane": "1,4-dioxane",
    "ether": "diethylether",
    "diethyl ether": "diethylether",
    "ethyl acetate": "ethylethanoate",
    "hexane": "n-hexane",
    "octanol": "1-octanol",
}


def solvents() -> tuple[str, ...]:
    """The solvents of SMD, whose permittivities serve PCM too, as PySCF spells them."""
    return _list("solvents")


@cache
def _solvents() -> dict[str, str]:
    return {name.lower(): name for name in solvents()}


def solvent_of(name: str) -> str:
    """PySCF's own spelling of a solvent.

    Raises:
        ValueError: PySCF does not have the solvent; the message names the nearest one.
    """
    low = " ".join(name.lower().split())
    known = _solvents()
    if low not in known and low not in SOLVENT_ALIASES:
        found = difflib.get_close_matches(low, [*known, *SOLVENT_ALIASES], n=1, cutoff=0.6)
        hint = (
            f"did you mean '{known.get(found[0], found[0])}'?" if found else "write its full name"
        )
        raise ValueError(f"PySCF has no solvent '{name}'; {hint}")
    return known.get(low) or SOLVENT_ALIASES[low]


def _near(word: str, known: list[str]) -> str:
    found = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f"; did you mean '{found[0]}'?" if found else ""


@cache
def _installed_knows_functional(name: str) -> bool:
    if importlib.util.find_spec("pyscf") is None:
        return False
    try:
        from pyscf.dft import libxc  # type: ignore[import-not-found]
        from pyscf.scf.dispersion import parse_dft  # type: ignore[import-not-found]

        libxc.parse_xc(parse_dft(name)[0])
    except Exception:  # PySCF refuses a name with many kinds of exceptions
        return False
    return True


@cache
def _installed_knows_basis(name: str) -> bool:
    if importlib.util.find_spec("pyscf") is None:
        return False
    try:
        from pyscf.gto import basis  # type: ignore[import-not-found]
    except Exception:  # a broken installation
        return False
    return name in basis.ALIAS


def refuse_functional(xc: str) -> None:
    """Check that PySCF knows a functional, or each term of an expression, without ambiguity.

    Raises:
        ValueError: it does not, or the driver cannot compute the functional; the message gives the
            reason and, if there is one, the nearest name or what to write instead.
    """
    name = xc.lower()
    if name in _UNSUPPORTED:
        raise ValueError(f"PySCF does not have '{xc}'; the nearest is '{_UNSUPPORTED[name]}'")
    if name == "wb97x-d4":
        raise ValueError(
            "'wb97x-d4' means different functionals in different versions of PySCF; write {xc: "
            "wb97x-v, nlc: false, dispersion: 'd4:wb97x'} for the recommended one (ORCA's "
            "wB97X-D4), or {xc: wb97x, dispersion: 'd4:wb97x-2008'} for wB97X itself"
        )
    if _DOUBLE_HYBRID.fullmatch(name):
        raise ValueError(f"'{xc}' needs MP2, which 'wqmaster.tasks.pyscf' does not compute")
    if name.endswith("-3c") and name not in _functionals():
        raise ValueError(
            f"'{xc}' is a composite method with its own basis and corrections, which PySCF does "
            "not have"
        )
    _refuse_one_sided(name)
    if name in _functionals():
        return
    base, suffix = split_dispersion(name)
    if suffix is not None:
        if not _DISPERSION.fullmatch(suffix):
            raise ValueError(
                f"PySCF does not have the dispersion correction '{suffix}'; "
                f"{nearest(suffix, DISPERSIONS)}"
            )
        if _DOUBLE_HYBRID.fullmatch(base):
            raise ValueError(f"'{xc}' needs MP2, which 'wqmaster.tasks.pyscf' does not compute")
        _refuse_one_sided(base)
        if base in _functionals():
            return
        name = base
    terms = [term.strip() for term in re.split(r"[,+]", re.sub(r"\s", "", name)) if term.strip()]
    for term in terms:
        found = _TERM.fullmatch(term)
        word = found[1] if found else term
        known = _functionals() | _EXACT_EXCHANGE
        if word in known or word.replace("-", "_") in known or word.replace("-", "") in known:
            continue
        if not _installed_knows_functional(name):
            raise ValueError(
                f"PySCF does not have the functional '{word}'{_near(word, sorted(known))}"
            )
    if not terms:
        raise ValueError("the functional is empty")


def _refuse_one_sided(name: str) -> None:
    why = _one_sided().get(name)
    if why is not None:
        raise ValueError(f"'{name}' {why}")


def includes_vv10(xc: str) -> bool:
    """Whether a functional includes non-local correlation (VV10)."""
    return _WITH_VV10.fullmatch(re.sub("[-_]", "", split_dispersion(xc)[0].lower())) is not None


def split_dispersion(xc: str) -> tuple[str, str | None]:
    """A functional without its dispersion suffix, and the suffix or None: ("b3lyp", "d3bj")."""
    found = re.fullmatch(r"(.+)-(d[34][a-z0-9]*)", xc.lower())
    return (found[1], found[2]) if found else (xc, None)


def refuse_dispersion(dispersion: str) -> None:
    """Check that PySCF has a dispersion correction.

    Raises:
        ValueError: it does not; the message names the nearest one.
    """
    if not _DISPERSION.fullmatch(dispersion.lower()):
        raise ValueError(
            f"PySCF does not have the dispersion correction '{dispersion}'; "
            f"{nearest(dispersion.partition(':')[0], DISPERSIONS)}"
        )


# Sets for density fitting and other auxiliary sets (gto/basis: ALIAS).
_AUXILIARY = re.compile(r".*(fit|ri)|weigend.*|demon.*|ahlrichs.*")


def refuse_basis(name: str, use: Literal["orbitals", "fitting", "cores"]) -> None:
    """Check that PySCF has a basis set (or, by the same names, a core potential) for this use.

    PySCF accepts an auxiliary set as the orbitals' basis, and the reverse, but the energies are
    wrong by about 1 Eh (def2-SVP as the auxiliary basis of water: 0.85 Eh).

    Raises:
        ValueError: it does not; the message names the nearest one.
    """
    flat = _flat(name).partition("@")[0]
    is_auxiliary = _AUXILIARY.fullmatch(flat) is not None
    if use == "orbitals" and is_auxiliary:
        raise ValueError(f"'{name}' is an auxiliary basis; name it in 'auxbasis'")
    if use == "fitting" and flat in _basis_sets() and not is_auxiliary:
        raise ValueError(
            f"'{name}' is not an auxiliary basis; write 'def2-universal-jkfit', or omit 'auxbasis'"
        )
    if flat in _basis_sets() or _POPLE.fullmatch(flat) or _installed_knows_basis(flat):
        return
    near = difflib.get_close_matches(flat, _basis_sets(), n=1, cutoff=0.6)
    hint = f"; did you mean '{_basis_sets()[near[0]]}'?" if near else ""
    raise ValueError(f"PySCF does not have the basis set '{name}'{hint}")
