"""Real outputs of a program, with what they hold."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from wqmaster.jobs.failures import FailureClass
from wqmaster.jobs.job import Asked
from wqmaster.jobs.molecule import Molecule
from wqmaster.tasks.base import Build, Software, traits_of

# What an output may state of the molecule: fields of `Asked`.
STATED = ("natoms", "charge", "multiplicity")

WATER = Molecule(
    "sample",
    (8, 1, 1),
    ((0.0, 0.0, 0.1173), (0.0, 0.7572, -0.4692), (0.0, -0.7572, -0.4692)),
    document={},
)


@dataclass(frozen=True)
class Sample:
    """A real output of a program, with what it holds."""

    function: Build  # the task function whose step wrote it
    files: Mapping[str, bytes]  # "stdout", and the other files that parsers read
    # By parser: what it must return. Floats agree within `values.RELATIVE_TOLERANCE`.
    values: Mapping[str, Any] = field(default_factory=dict)
    # Of the program, as the output states it; None: the output states none, and
    # `program_version` must find none.
    version: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)  # of the step
    molecule: Molecule = WATER
    # With a `cache` where the task function has a stage `prepare`.
    software: Software = field(default_factory=Software)
    # What of the molecule the output states, so that `diagnose` must refuse it where another was
    # asked for. By default all: a `diagnose` that does not look is found, and what an output does
    # not state is left out by hand. Not used where a program has no format of its own.
    states: Collection[str] = STATED
    # What the output is a failure of: `diagnose` must return this class, and there are no values.
    failure: FailureClass | None = None

    def __post_init__(self) -> None:
        unknown = sorted(set(self.states) - set(STATED))
        if unknown:
            raise ValueError(f"a sample states {', '.join(STATED)}, and no {', '.join(unknown)}")
        if self.failure is not None and self.values:
            raise ValueError(f"an output that fails ({self.failure.label}) has no values")

    @property
    def function_name(self) -> str:
        """The name of the task function, for messages."""
        return getattr(self.function, "__name__", repr(self.function))

    @property
    def asked(self) -> Asked:
        """What the job of the sample was asked for."""
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
        """The options of the step as `diagnose` gets them; as given where they are refused."""
        model = traits_of(self.function).options
        try:
            found = model.model_validate(dict(self.options))
        except ValueError:
            return dict(self.options)
        return found.model_dump(mode="json", exclude_none=True)
