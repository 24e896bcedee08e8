"""The options of PySCF's steps, in PySCF's own words, units and defaults."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from wqmaster.campaign.models import Model
from wqmaster.jobs.molecule import SYMBOLS
from wqmaster.tasks.pyscf import names

# One name for all elements, or element -> name, with "default" for the others.
ByElement = str | dict[str, str]
# Convergence sets of geomeTRIC (params.py: convergence_sets).
Convergence = Literal[
    "gau", "gau_loose", "gau_tight", "gau_verytight", "turbomole", "nwchem_loose", "interfrag_tight"
]
_ELEMENTS = frozenset(symbol.lower() for symbol in SYMBOLS if symbol)


_Use = Literal["orbitals", "fitting", "cores"]


def _check_names(value: ByElement | None, use: _Use, *others: str) -> ByElement | None:
    if isinstance(value, str):
        if value not in others:
            names.refuse_basis(value, use)
        return value
    if value == {}:
        raise ValueError("no basis is named")
    seen: set[str] = set()
    for element, name in (value or {}).items():
        low = element.lower()
        if low != "default" and low not in _ELEMENTS:
            raise ValueError(f"'{element}' is neither an element nor 'default'")
        if low in seen:
            raise ValueError(f"'{element}' is named twice")
        seen.add(low)
        if name != "none" or "none" not in others:
            names.refuse_basis(name, use)
    return value


class Common(Model):
    """The options that the steps of all task functions have."""

    # The exchange-correlation functional, with libxc's names and PySCF's expressions:
    # wb97x-d3bj, pbe0, "0.2*HF + 0.8*B88, LYP"; hf: Hartree-Fock.
    xc: str
    # The basis set: a name, or element -> name with "default" for the others.
    basis: ByElement
    # A dispersion correction that the functional's name does not include: d3bj, d3zero, d4, ...;
    # "d4:METHOD" takes the parameters of another method.
    dispersion: str | None = None
    # Non-local correlation: vv10, or false for none (default: what the functional includes).
    nlc: Literal["vv10", False] | None = None
    # Density fitting of Coulomb and exchange integrals, and its basis (default: PySCF's choice).
    density_fit: bool = False
    auxbasis: ByElement | None = None
    # Effective core potentials: auto takes those that belong to the basis set; none; or names.
    ecp: ByElement = "auto"
    # PySCF's level of the integration grid, and of the coarser one for non-local correlation.
    grid: int = Field(default=3, ge=0, le=9)
    nlc_grid: int = Field(default=3, ge=0, le=9)
    # Convergence threshold of the SCF energy, in Eh.
    conv_tol: float = Field(default=1e-9, ge=1e-14, le=1e-4)
    # The maximum number of SCF cycles.
    max_cycle: int = Field(default=50, gt=0, le=10_000)
    # The initial guess.
    guess: Literal["minao", "atom", "huckel", "mod_huckel", "1e", "sap", "vsap"] = "minao"
    # An implicit solvent and its model: smd (default), c-pcm, ief-pcm, cosmo, ss(v)pe.
    solvent: str | None = None
    solvation: Literal["smd", "c-pcm", "ief-pcm", "cosmo", "ss(v)pe"] | None = None
    # true: RKS, or ROKS with unpaired electrons; false: UKS (default: RKS for singlets, else UKS).
    restricted: bool | None = None

    @field_validator("grid", "nlc_grid", "max_cycle", "conv_tol", mode="before")
    @classmethod
    def _no_bool(cls, value: object) -> object:
        if isinstance(value, bool):  # pydantic would take true for 1
            raise ValueError("must be a number")
        return value

    @field_validator("solvation", "nlc", "guess", mode="before")
    @classmethod
    def _any_case(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @field_validator("xc")
    @classmethod
    def _known_functional(cls, value: str) -> str:
        names.refuse_functional(value.strip())
        return value.strip().lower()

    @field_validator("basis")
    @classmethod
    def _known_basis(cls, value: ByElement) -> ByElement | None:
        return _check_names(value, "orbitals")

    @field_validator("auxbasis")
    @classmethod
    def _known_auxiliary(cls, value: ByElement | None) -> ByElement | None:
        return _check_names(value, "fitting")

    @field_validator("ecp")
    @classmethod
    def _known_potential(cls, value: ByElement) -> ByElement | None:
        return _check_names(value, "cores", "auto", "none")

    @field_validator("dispersion")
    @classmethod
    def _known_dispersion(cls, value: str | None) -> str | None:
        if value is not None:
            names.refuse_dispersion(value)
        return value.lower() if value is not None else None

    @field_validator("solvent")
    @classmethod
    def _one_name(cls, value: str | None) -> str | None:
        return None if value is None else names.solvent_of(value)

    @model_validator(mode="before")
    @classmethod
    def _usual_model(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("solvent") is not None:
            return {**value, "solvation": value.get("solvation") or "smd"}
        return value

    @model_validator(mode="after")
    def _they_agree(self) -> "Common":
        if self.solvation is not None and self.solvent is None:
            raise ValueError("'solvation' needs a 'solvent'")
        if self.auxbasis is not None and not self.density_fit:
            raise ValueError("'auxbasis' is the basis of density fitting; add 'density_fit: true'")
        if self.xc == "hf" and self.nlc is not None:
            raise ValueError("'nlc' belongs to a functional; Hartree-Fock has none")
        _, suffix = names.split_dispersion(self.xc)
        if suffix is not None and self.dispersion is not None:
            raise ValueError(
                f"'{self.xc}' includes a dispersion correction; remove 'dispersion', or the "
                f"'-{suffix}' of the functional"
            )
        nonlocal_ = self.nlc == "vv10" or (self.nlc is None and names.includes_vv10(self.xc))
        if nonlocal_ and (suffix is not None or self.dispersion is not None):
            raise ValueError(
                "the step would count dispersion twice: with VV10 "
                f"({'nlc: vv10' if self.nlc else self.xc}) and with "
                f"{suffix or self.dispersion}; remove one, or add 'nlc: false'"
            )
        return self


class Singlepoint(Common):
    """Options of a `singlepoint` step."""

    # Whether the gradient is computed too.
    gradient: bool = True


class Optimize(Common):
    """Options of an `optimize` step."""

    # geomeTRIC's set of thresholds for energy, gradient and displacement.
    convergence: Convergence = "gau"
    # The maximum number of cycles.
    cycles: int = Field(default=100, gt=0, le=10_000)


class Hessian(Common):
    """Options of a `hessian` step."""


def level(options: Mapping[str, Any]) -> str:
    """Functional, dispersion, basis and solvent: "pbe0-d3bj/def2-svp(smd: water)"."""
    functional, basis = options["xc"], options["basis"]
    if options.get("dispersion") is not None:
        functional = f"{functional}-{options['dispersion']}"
    if not isinstance(basis, str):
        basis = "+".join(dict.fromkeys(basis.values()))
    solvent = options.get("solvent")
    end = "" if solvent is None else f"({options['solvation']}: {solvent})"
    return f"{functional}/{basis}{end}"
