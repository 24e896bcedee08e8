"""Which values of a campaign become labels, and which geometry they belong to."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from wqmaster.campaign.models import nearest
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import CampaignError
from wqmaster.parsers.quantities import QUANTITIES, Quantity
from wqmaster.recipe.recipe import Recipe, StepRecipe
from wqmaster.system.this_command import this_command
from wqmaster.tasks import calling, held

# The values that can provide a label, the preferred one first. Any other energy or charges must be
# named with --energy or --charges.
ENERGIES = ("energy", "total_energy")
CHARGES = ("charges", "hirshfeld_charges", "mulliken_charges", "loewdin_charges")
SPINS = ("mulliken_spins", "hirshfeld_spins", "loewdin_spins")
# The common quantities that are total energies in Eh.
_TOTAL_ENERGIES = frozenset({"energy", "enthalpy", "gibbs_free_energy"})
_GEOMETRIES = ("geometry", "optimized_geometry")
DOCUMENT = "document"
# Where `wqmaster adopt` stores the geometry that the values belong to, if it is not the document's.
ADOPTED_GEOMETRY = "geometry"


@dataclass(frozen=True)
class Wishes:
    """What the command line asks for; None leaves the choice to `labels_of`."""

    step: str | None = None
    geometry: str | None = None  # "document" or the name of a step
    frames: bool = False  # all evaluations of an optimization
    energy: str | None = None  # name of the value
    charges: str | None = None
    # Whether the command has options that name the values (--energy, --charges).
    has_options: bool = True


@dataclass(frozen=True)
class Labels:
    """The values of one step that become labels."""

    step: StepRecipe
    # Label -> name of the value. With `frames`, only {"frames": "frames"}.
    values: dict[str, str]
    # The step whose value `geometry_value` is the geometry; None: the document's coordinates.
    geometry_step: str | None = None
    geometry_value: str | None = None
    # Whether the values belong to the document's geometry, which no step has changed. If so, the
    # document's coordinates, which have all digits, replace those of `geometry_value`, provided
    # that the two agree.
    stays: bool = False
    # The names of the values that users' own parsers read, whose units wqmaster does not know.
    foreign: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name of the step."""
        return self.step.request.name

    def fetched(self) -> dict[str, list[str]]:
        """The values to fetch, by step."""
        # An adopted run can have moved the atoms although the campaign's step does not.
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
            raise _without_frames(recipe, [step], f"step '{step.request.name}' has")
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
                f"{nearest(wish, _candidates(label, names))}",
            )
        name = wish or next((name for name in known if name in names), None)
        if name is not None:
            values[label] = name
        if label == "energy" and wish is not None:
            _check_total(recipe, wish)
        if label == "charges" and wish is not None:
            _check_charges(recipe, wish)
    if "energy" not in values:
        raise _wrong(
            recipe, f"step '{step.request.name}' has no energy; {_energy_hint(wishes, names)}"
        )
    foreign = _foreign(step, values)
    source, value, stays = _geometry(recipe, step, wishes.geometry)
    return Labels(step, values, source, value, stays, foreign, tuple(_doubts(step, foreign)))


def _no_frames(step: StepRecipe) -> str | None:
    """Why a step cannot have frames, whatever its parsers are; None if it can."""
    program, traits = step.function.program, step.function.traits
    if program is None:
        return None
    parser = program.own_parsers().get("frames")
    if parser is None:
        return f"{program.name} has no parser of that name"
    asked = held.Asked("frames", parser, vars(parser)["files"][0], explicit=False)
    leaves = calling.left(traits, step.request.options)
    lack = held.parser_lack(asked, program, leaves)
    return lack.reason if lack is not None and lack.certain else None


def _without_frames(recipe: Recipe, steps: Iterable[StepRecipe], who_has: str) -> CampaignError:
    """The error if `steps` store no frames; `who_has` begins its message."""
    reasons = {_no_frames(step) for step in steps}
    if None not in reasons:
        why = "; ".join(sorted(filter(None, reasons)))
        return _wrong(
            recipe,
            f"{who_has} no frames: {why}; leave out --frames to export the final geometries",
        )
    return _wrong(
        recipe,
        f"{who_has} no parser 'frames', so only final geometries can be exported; leave out "
        f"--frames, or add the parser and run '{this_command()} reparse {recipe.loaded.typed} "
        "--write', which needs kept archives",
    )


def _may_be(label: str, name: str) -> bool:
    """Whether the parser `name` can provide a label.

    The units of values that are not common quantities are not known here, so those can.
    """
    quantity, charges = QUANTITIES.get(name), QUANTITIES["charges"]
    if quantity is None:
        return True
    if label == "energy":
        return name in _TOTAL_ENERGIES
    return (quantity.unit, quantity.shape) == (charges.unit, charges.shape)


def _candidates(label: str, names: Iterable[str]) -> list[str]:
    """Those of the parsers `names` that --energy or --charges can name, sorted."""
    return sorted({name for name in names if _may_be(label, name)})


def _energy_hint(wishes: Wishes, names: Iterable[str]) -> str:
    """What to do if none of the parsers `names` is known to return an energy."""
    found = _candidates("energy", names)
    if wishes.energy is not None and found:
        return nearest(wishes.energy, found)
    if not wishes.has_options or not found:
        return f"add the parser '{ENERGIES[0]}'"
    return f"add the parser '{ENERGIES[0]}', or name one with --energy ({', '.join(found)})"


def _check_charges(recipe: Recipe, name: str) -> None:
    """Check that `name` is not a common quantity that is anything but atomic charges.

    Raises:
        CampaignError: it is one.
    """
    if _may_be("charges", name):
        return
    quantity = QUANTITIES[name]
    raise _wrong(
        recipe,
        f"--charges {name}: '{name}' does not hold atomic charges (it is: {_meaning(quantity)}); "
        "name a parser that returns them in e",
    )


def _check_total(recipe: Recipe, name: str) -> None:
    """Check that `name` is not a common quantity that is anything but a total energy.

    The units of a program's own values are not known here, so those are accepted.

    Raises:
        CampaignError: it is one.
    """
    if _may_be("energy", name):
        return
    quantity = QUANTITIES[name]
    unit = f", in {quantity.unit}" if quantity.unit else ""
    raise _wrong(
        recipe,
        f"--energy {name}: '{name}' is not a total energy (it is: {_meaning(quantity)}{unit}); "
        "name a parser that returns a total energy in Eh",
    )


def _meaning(quantity: Quantity) -> str:
    return quantity.meaning.replace("`", "'")


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
    if wishes.frames:
        raise _without_frames(recipe, recipe.steps, "the campaign has")
    named = " or ".join(f"'{name}'" for name in sorted(wanted))
    known = {call.name for step in recipe.steps for call in step.parsers}
    raise _wrong(recipe, f"no step has the parser {named}; {_energy_hint(wishes, known)}")


def _foreign(step: StepRecipe, values: dict[str, str]) -> tuple[str, ...]:
    """The names of the values that users' own parsers read, whose units wqmaster does not know."""
    program = step.function.program
    calls = {call.name: call.function for call in step.parsers}
    found = (name for name in values.values() if program is None or not program.owns(calls[name]))
    return tuple(sorted(found))


def _doubts(step: StepRecipe, foreign: tuple[str, ...]) -> Iterator[str]:
    """Yield remarks on labels that may not be what they seem to be."""
    if foreign:
        yield (
            f"parsers of your own: {', '.join(foreign)} of step '{step.request.name}'; their "
            "values are taken to be in atomic units (Eh, Eh/a0, e, e a0)"
        )


def _geometry(
    recipe: Recipe, step: StepRecipe, wish: str | None
) -> tuple[str | None, str | None, bool]:
    """The step and value with the geometry, and whether it is the document's geometry."""
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
        f"'geometry' to step '{origin.request.name}' and run '{this_command()} reparse "
        f"{recipe.loaded.typed} --write', which needs kept archives; if the step does not move the "
        "atoms, use --geometry document",
    )


def _wrong(recipe: Recipe, message: str) -> CampaignError:
    return CampaignError(f"{recipe.loaded.source.path}: {message}", code=ErrorCode.LABELS_MISSING)
