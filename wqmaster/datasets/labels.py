"""Which values of a campaign become labels, and which geometry they belong to."""

from collections.abc import Iterator
from dataclasses import dataclass

from wqmaster.campaign.models import nearest
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import CampaignError
from wqmaster.parsers.quantities import QUANTITIES, Quantity
from wqmaster.recipe.recipe import Recipe, StepRecipe
from wqmaster.system.this_command import this_command

# For each label, the values that can provide it, the preferred one first. Other charges and spins
# (Hirshfeld, CM5, ...) are chosen by name.
ENERGIES = ("energy", "total_energy")
CHARGES = ("charges", "hirshfeld_charges", "mulliken_charges", "loewdin_charges")
SPINS = ("mulliken_spins", "hirshfeld_spins", "loewdin_spins")
_GEOMETRIES = ("geometry", "optimized_geometry")
DOCUMENT = "document"
# Where `wqmaster adopt` stores the geometry of the values, if it differs from the document's.
ADOPTED_GEOMETRY = "geometry"


@dataclass(frozen=True)
class Wishes:
    """What the command line asks for; None leaves the choice to `labels_of`."""

    step: str | None = None
    geometry: str | None = None  # "document" or the name of a step
    frames: bool = False  # all evaluations of an optimization
    energy: str | None = None  # name of the value
    charges: str | None = None


@dataclass(frozen=True)
class Labels:
    """The values of one step that become labels."""

    step: StepRecipe
    # Label -> name of the value. With `frames`, only {"frames": "frames"}.
    values: dict[str, str]
    # The step whose value `geometry_value` is the geometry; None: the document's coordinates.
    geometry_step: str | None = None
    geometry_value: str | None = None
    # Whether the step's values belong to the document's geometry, so that its coordinates, which
    # have all digits, can stand for those of `geometry_value` if the two agree.
    stays: bool = False
    # Values of parsers whose unit wqmaster does not know.
    foreign: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name of the step."""
        return self.step.request.name

    def fetched(self) -> dict[str, list[str]]:
        """The values to fetch, by step."""
        # An adopted output can have moved the atoms although the campaign's step does not.
        found = {self.name: [*self.values.values(), ADOPTED_GEOMETRY]}
        if self.geometry_step is not None and self.geometry_value is not None:
            found.setdefault(self.geometry_step, []).append(self.geometry_value)
        return found


def labels_of(recipe: Recipe, wishes: Wishes) -> Labels:
    """Decide which values to export, and where their geometry comes from.

    Raises:
        CampaignError: a step or value does not exist, or no geometry certainly belongs to the
            values.
    """
    step = _step(recipe, wishes)
    names = [call.name for call in step.parsers]
    if wishes.frames:
        if "frames" not in names:
            raise _wrong(
                recipe,
                f"step '{step.request.name}' has no parser 'frames', so only its final geometry "
                f"can be exported; add the parser, and run '{this_command()} reparse --write', "
                "which needs kept archives",
            )
        return Labels(step, {"frames": "frames"})
    values = {}
    for label, wish, known in (
        ("energy", wishes.energy, ENERGIES),
        ("charges", wishes.charges, CHARGES),
        ("spins", None, SPINS),
        ("gradient", None, ("gradient",)),
        ("dipole", None, ("dipole",)),
        ("quadrupole", None, ("quadrupole",)),
    ):
        if wish is not None and wish not in names:
            raise _wrong(
                recipe,
                f"step '{step.request.name}' has no parser '{wish}' for --{label}; "
                f"{nearest(wish, names)}",
            )
        if wish is not None:
            _check_meaning(recipe, label, wish)
        name = wish or next((name for name in known if name in names), None)
        if name is not None:
            values[label] = name
    if "energy" not in values:
        raise _wrong(
            recipe,
            f"step '{step.request.name}' has no energy; name its parser with --energy "
            f"({', '.join(names) or 'the step has no parsers'})",
        )
    foreign = _foreign(step, values)
    source, value, stays = _geometry(recipe, step, wishes.geometry)
    return Labels(step, values, source, value, stays, foreign, tuple(_doubts(step, foreign)))


def _check_meaning(recipe: Recipe, label: str, wish: str) -> None:
    """Refuse a value that has a meaning in all programs, and another one than the label's."""
    quantity, meant = QUANTITIES.get(wish), QUANTITIES[label]
    if quantity is None:
        return
    is_same = wish == label if label == "energy" else _kind(quantity) == _kind(meant)
    if not is_same:
        raise _wrong(
            recipe, f"--{label} {wish}: it is the {quantity.meaning}, not the {meant.meaning}"
        )


def _kind(quantity: Quantity) -> tuple[str, tuple[int | str, ...] | None]:
    return quantity.unit, quantity.shape


def _step(recipe: Recipe, wishes: Wishes) -> StepRecipe:
    steps = {step.request.name: step for step in recipe.steps}
    if wishes.step is not None:
        if wishes.step not in steps:
            raise _wrong(recipe, f"there is no step '{wishes.step}'; {nearest(wishes.step, steps)}")
        return steps[wishes.step]
    wanted = {"frames"} if wishes.frames else {wishes.energy} if wishes.energy else {*ENERGIES}
    for step in reversed(recipe.steps):
        if wanted & {call.name for call in step.parsers}:
            return step
    named = " or ".join(f"'{name}'" for name in sorted(wanted))
    raise _wrong(
        recipe, f"no step has the parser {named}; name the step with --step, or add the parser"
    )


def _foreign(step: StepRecipe, values: dict[str, str]) -> tuple[str, ...]:
    """The values that come from parsers whose unit wqmaster does not know."""
    program = step.function.program
    calls = {call.name: call.function for call in step.parsers}
    found = (name for name in values.values() if program is None or not program.owns(calls[name]))
    return tuple(sorted(found))


def _doubts(step: StepRecipe, foreign: tuple[str, ...]) -> Iterator[str]:
    """Remarks on labels that may be something else than they seem to be."""
    if foreign:
        yield (
            f"parsers of your own: {', '.join(foreign)} of step '{step.request.name}'; their "
            "values are taken to be in atomic units (Eh, Eh/a0, e, e a0)"
        )


def _geometry(
    recipe: Recipe, step: StepRecipe, wish: str | None
) -> tuple[str | None, str | None, bool]:
    """The step and value with the geometry, and whether the document's geometry serves as well."""
    steps = {one.request.name: one for one in recipe.steps}
    name = step.request.name
    if wish is not None and wish != DOCUMENT and wish not in steps:
        raise _wrong(
            recipe,
            f"--geometry {wish}: there is no step '{wish}'; {nearest(wish, [*steps, DOCUMENT])}",
        )
    origin = step
    while origin.keeps_geometry and origin.request.geometry is not None:
        origin = steps[origin.request.geometry]
    # `origin` is the step that determined the geometry of the values.
    stays = origin.keeps_geometry
    if wish == DOCUMENT:
        if origin.final_geometry is not None:
            raise _wrong(
                recipe,
                f"--geometry document: the values of step '{name}' belong to the final geometry of "
                f"step '{origin.request.name}', not to the document's",
            )
        return None, None, True
    chain = [step, *([origin] if origin is not step else [])]
    if wish is not None:
        chain = [steps[wish]]
        if wish not in (name, origin.request.name):
            raise _wrong(
                recipe,
                f"--geometry {wish}: the values of step '{name}' do not belong to the final "
                f"geometry of step '{wish}'",
            )
    for one in chain:
        parsers = [call.name for call in one.parsers]
        value = next((found for found in _GEOMETRIES if found in parsers), None)
        if value is not None:
            return one.request.name, value, stays
    if stays and wish is None:
        return None, None, True
    raise _wrong(
        recipe,
        f"the values of step '{name}' belong to a geometry that is not stored: add the parser "
        f"'geometry' to step '{origin.request.name}' and run '{this_command()} reparse --write', "
        "which needs kept archives; if the step does not move the atoms, use --geometry document",
    )


def _wrong(recipe: Recipe, message: str) -> CampaignError:
    return CampaignError(f"{recipe.loaded.source.path}: {message}", code=ErrorCode.LABELS_MISSING)
