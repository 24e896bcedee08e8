"""The options for xtb steps."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from wqmaster.campaign.models import Model, nearest
from wqmaster.tasks.xtb.solvents import ALIASES, solvents

# The largest number of MD steps that xtb can print (src/dynamic.f90: i6).
_MAX_STEPS = 999_999


class Common(Model):
    """The options for a step of any xtb function."""

    # The parametrization: GFN1-xTB, GFN2-xTB or the force field GFN-FF.
    gfn: Literal[1, 2, "ff"] = 2
    # An implicit solvent and its model: alpb (default), gbsa or cosmo.
    solvent: str | None = None
    solvation: Literal["alpb", "gbsa", "cosmo"] | None = None
    # xtb's --acc, which scales all thresholds. A smaller value is tighter.
    accuracy: float | None = Field(default=None, ge=1e-4, le=1e3)
    # xtb's --iterations, the limit for the self-consistent charges.
    iterations: int | None = Field(default=None, gt=0)

    @field_validator("gfn", mode="before")
    @classmethod
    def _no_bool(cls, value: object) -> object:
        if isinstance(value, bool):  # True equals 1
            raise ValueError("must be 1, 2 or ff")
        return value

    @field_validator("solvent")
    @classmethod
    def _one_name(cls, value: str | None) -> str | None:
        return None if value is None else ALIASES.get(value.strip().lower(), value.strip().lower())

    @model_validator(mode="before")
    @classmethod
    def _usual_model(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("solvent") is not None:
            return {**value, "solvation": value.get("solvation") or "alpb"}
        return value

    @model_validator(mode="after")
    def _known_solvent(self) -> "Common":
        if self.solvent is None:
            if self.solvation is not None:
                raise ValueError("'solvation' needs a 'solvent'")
            return self
        known = solvents(self.gfn, str(self.solvation))
        if self.solvent not in known:
            method = "GFN-FF" if self.gfn == "ff" else f"GFN{self.gfn}-xTB"
            raise PydanticCustomError(
                "no_solvent",
                "xtb has no solvent '{solvent}' for {method}; {hint}",
                {
                    "solvent": self.solvent,
                    "method": f"{method} with {self.solvation}",
                    "hint": nearest(self.solvent, known),
                    "keys": ["solvent"],
                },
            )
        return self


class Singlepoint(Common):
    """The options for a step of `singlepoint`."""

    # Whether the gradient is computed too.
    gradient: bool = True


class Optimize(Common):
    """The options for a step of `optimize`."""

    # xtb's --opt, the thresholds for the energy change and the gradient.
    level: Literal["crude", "sloppy", "loose", "lax", "normal", "tight", "verytight", "extreme"] = (
        "normal"
    )
    # The maximum number of cycles (default: xtb's, which depends on the molecule's size).
    cycles: int | None = Field(default=None, gt=0)


class Hessian(Common):
    """The options for a step of `hessian`."""

    # The temperature for the thermochemistry, in K.
    temperature: float = Field(default=298.15, gt=0, le=99_999)


class Dynamics(Common):
    """The options for a step of `md`. Their defaults are those of xtb 6.7.1, except `samerand`."""

    # The length of the run, in ps.
    time: float = Field(default=50.0, ge=0.01, le=99_999)
    # The time step, in fs.
    step: float = Field(default=4.0, ge=0.01, le=99_999)
    # The temperature of the start and of the thermostat, in K.
    temperature: float = Field(default=298.15, gt=0, le=99_999)
    # The interval between structures in xtb.trj, in fs.
    dump: float = Field(default=50.0, ge=0.01, le=99_999)
    # The constrained bonds: 0 none, 1 bonds to hydrogen, 2 all.
    shake: Literal[0, 1, 2] = 1
    # The mass of hydrogen, in u; 0: the real mass.
    hmass: int = Field(default=4, ge=0, le=1000)
    # Whether to use a (Berendsen) thermostat.
    nvt: bool = True
    # Whether to write velocities to xtb.trj.
    velocities: bool = False
    # The accuracy of the charges during the run (see `accuracy`). Every eleventh step uses 1.
    sccacc: float = Field(default=2.0, ge=1e-4, le=1e3)
    # Whether the initial velocities use the same random numbers in each run (xtb has no other
    # seed). If False, a rerun gives a different trajectory.
    samerand: bool = True

    @field_validator("shake", mode="before")
    @classmethod
    def _no_bool_either(cls, value: object) -> object:
        if isinstance(value, bool):
            raise ValueError("must be 0, 1 or 2")
        return value

    @model_validator(mode="after")
    def _some_steps(self) -> "Dynamics":
        if not 1 <= self.time * 1000 / self.step <= _MAX_STEPS:
            raise ValueError(f"'time' and 'step' must give between 1 and {_MAX_STEPS:,} steps")
        if self.dump < self.step:
            raise ValueError("'dump' is shorter than 'step'")
        return self


def level(options: Mapping[str, Any]) -> str:
    """The method, with the solvent: "GFN2-xTB(alpb: water)"."""
    method = "GFN-FF" if options["gfn"] == "ff" else f"GFN{options['gfn']}-xTB"
    solvent = options.get("solvent")
    return method if solvent is None else f"{method}({options['solvation']}: {solvent})"
