"""Real outputs of a program, with the values that they contain."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from wqmaster.jobs.failures import FailureClass
from wqmaster.jobs.job import Asked
from wqmaster.jobs.molecule import Molecule
from wqmaster.tasks.base import Build, Software, traits_of

# The properties of the molecule that an output may state: fields of `Asked`.
STATED = ("natoms", "charge", "multiplicity")

WATER = Molecule(
    "sample",
    (8, 1, 1),
    ((0.0, 0.0, 0.1173), (0.0, 0.7572, -0.4692), (0.0, -0.7572, -0.4692)),
    document={},
)


@dataclass(frozen=True)
class Sample:
    """A real output of a program, with the values that it contains."""

    function: Build  # the task function whose step wrote the output
    files: Mapping[str, bytes]  # "stdout", and the other files that parsers read
    # Parser -> the value that it must return; floats agree within `values.RELATIVE_TOLERANCE`.
    values: Mapping[str, Any] = field(default_factory=dict)
    # The program's version as the output states it; None if it states none, and `program_version`
    # must return None.
    version: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)  # of the step
    molecule: Molecule = WATER
    # It needs a `cache` if the task function has a stage `prepare`.
    software: Software = field(default_factory=Software)
    # The properties of the molecule that the output states; `diagnose` must refuse the output if
    # others were requested. Remove those that the output does not state. The default is all of
    # them, to detect a `diagnose` that does not compare. Unused if `has_own_format` is False.
    states: Collection[str] = STATED
    # For the output of a failure, which has no values: the class that `diagnose` must return.
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
        """The options of the step as `diagnose` receives them; unchanged if they are refused."""
        model = traits_of(self.function).options
        try:
            found = model.model_validate(dict(self.options))
        except ValueError:
            return dict(self.options)
        return found.model_dump(mode="json", exclude_none=True)
