"""Samples: real outputs from a program, with the values that they contain."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from wqmaster.jobs.failures import FailureClass
from wqmaster.jobs.job import Asked
from wqmaster.jobs.molecule import Molecule
from wqmaster.tasks.base import Build, Software, traits_of

# The properties of the molecule that an output can state, which are fields of `Asked`.
STATED = ("natoms", "charge", "multiplicity")

WATER = Molecule(
    "sample",
    (8, 1, 1),
    ((0.0, 0.0, 0.1173), (0.0, 0.7572, -0.4692), (0.0, -0.7572, -0.4692)),
    document={},
)


@dataclass(frozen=True)
class Sample:
    """A real output from a program, with the values that it contains."""

    function: Build  # the task function whose step wrote the output
    files: Mapping[str, bytes]  # "stdout", and the other files that parsers read
    # Maps each parser to the value that it must return. Floats must agree within
    # `values.RELATIVE_TOLERANCE`.
    values: Mapping[str, Any] = field(default_factory=dict)
    # The program's version that the output states and `program_version` must return; None if the
    # output does not state a version.
    version: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)  # the step's options
    molecule: Molecule = WATER
    # The task function's argument `software`. It must have a `cache` if the function has the stage
    # `prepare`.
    software: Software = field(default_factory=Software)
    # The properties of the molecule that the output states. `diagnose` must refuse the output if
    # other values were requested. The default is all properties, to detect a `diagnose` that does
    # not compare them; remove those that the output does not state. Unused if `has_own_format` is
    # False.
    states: Collection[str] = STATED
    # The class that `diagnose` must return, if this is the output of a failure. Such a sample has
    # no values.
    failure: FailureClass | None = None

    def __post_init__(self) -> None:
        unknown = sorted(set(self.states) - set(STATED))
        if unknown:
            raise ValueError(
                f"a sample may state {', '.join(STATED)}, but not {', '.join(unknown)}"
            )
        if self.failure is not None and self.values:
            raise ValueError(f"a sample of a failure ({self.failure.label}) has no values")

    @property
    def function_name(self) -> str:
        """The name of the task function, for messages."""
        return getattr(self.function, "__name__", repr(self.function))

    @property
    def asked(self) -> Asked:
        """The request that the sample's job would have in a campaign."""
        molecule = self.molecule
        return Asked(
            document=molecule.id,
            attempt=1,
            natoms=len(molecule.numbers),
            charge=molecule.charge,
            multiplicity=molecule.multiplicity,
            molecule=molecule.fingerprint,
            recipe="",
            target="",
        )

    @property
    def plain_options(self) -> dict[str, Any]:
        """The step's options as `diagnose` receives them; unchanged if the model refuses them."""
        model = traits_of(self.function).options
        try:
            found = model.model_validate(dict(self.options))
        except ValueError:
            return dict(self.options)
        return found.model_dump(mode="json", exclude_none=True)
