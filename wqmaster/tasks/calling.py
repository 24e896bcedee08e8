"""Call the traits of a task function, which can raise and return anything.

Users write traits. All calls are made here, so a mistake in a trait is reported as an error in the
campaign file, with its place in the user's module, and never as a traceback.
"""

import errno
from collections.abc import Iterable, Mapping
from typing import Any

from wqmaster.error_codes import ErrorCode
from wqmaster.errors import BadDocument, CampaignError, WqmasterError
from wqmaster.jobs.job import check_file_name
from wqmaster.jobs.molecule import Molecule
from wqmaster.system.tracebacks import defined, told
from wqmaster.tasks.base import Traits
from wqmaster.tasks.leaves import Lack, Leaves
from wqmaster.tasks.needs import Needs

# The errors that a trait may raise to refuse a step or a document. Any other error is a mistake in
# the trait.
_REFUSALS: Mapping[str, tuple[type[Exception], ...]] = {
    "load": (ValueError, WqmasterError),
    "check": (ValueError, WqmasterError),
    "prepare": (WqmasterError,),
    "inspect": (BadDocument,),
}
_INSTEAD = {
    "load": "; it must raise ValueError to refuse a step",
    "check": "; it must raise ValueError to refuse steps",
    "prepare": "; it must raise wqmaster.errors.WqmasterError if something cannot be made",
    "inspect": "; it must raise wqmaster.errors.BadDocument to refuse a document",
}
_FULL = (errno.ENOSPC, errno.EDQUOT)


class BrokenTrait(CampaignError):
    """A trait of the task function raised or returned something that it must not."""

    code = ErrorCode.TASK_FUNCTION_FAILED


def called(traits: Traits, name: str, *arguments: Any) -> Any:
    """Call the trait with this name and return its value.

    Raises:
        BrokenTrait: the trait raised an error that it must not raise. Errors by which it refuses a
            step or a document pass through, and so does an error about a full disk.
    """
    function = getattr(traits, name)
    try:
        return function(*arguments)
    except _REFUSALS.get(name, ()):
        raise
    except (Exception, SystemExit) as error:  # a user's function can raise anything
        if isinstance(error, OSError) and error.errno in _FULL:
            raise  # a problem with this machine, not with the function
        raise _raised(name, error, function) from error


def listed(traits: Traits, name: str, kind: type, *arguments: Any) -> list[Any]:
    """Call the trait with this name; return the values of type `kind` that it returns or yields.

    Raises:
        BrokenTrait: as in `called`, or the trait returned something else.
    """
    function = getattr(traits, name)
    found = called(traits, name, *arguments)
    if not isinstance(found, Iterable) or isinstance(found, (str, bytes)):
        raise _returned(name, found, f"a list of {kind.__name__}", function)
    try:
        entries = list(found)
    except (Exception, SystemExit) as error:  # a generator can raise here
        raise _raised(name, error, function) from error
    for entry in entries:
        if not isinstance(entry, kind):
            raise _returned(name, entry, kind.__name__, function, "the entry ")
    return entries


def left(traits: Traits, options: Any) -> Leaves:
    """The files and quantities that a step does not produce, according to the trait `leaves`.

    Without this trait, the result is empty.

    Raises:
        BrokenTrait: as in `called`, or the trait returned something else.
    """
    if traits.leaves is None:
        return Leaves()
    found = called(traits, "leaves", options)
    if not isinstance(found, Leaves):
        raise _returned("leaves", found, "wqmaster.tasks.leaves.Leaves", traits.leaves)
    quantities: Any = found.quantities
    if not isinstance(quantities, Mapping):
        what = "wqmaster.tasks.leaves.Leaves with a mapping of quantities"
        raise _returned("leaves", found, what, traits.leaves)
    for lack in quantities.values():
        if not isinstance(lack, Lack):
            raise _returned("leaves", lack, "Lack", traits.leaves, "the quantity ")
    return found


def final_geometry(traits: Traits, options: Any) -> str | None:
    """The XYZ file with the final geometry of a step; None if it leaves none.

    Raises:
        BrokenTrait: as in `called`, or the trait did not return the name of a file.
    """
    if traits.final_geometry is None:
        return None
    found = called(traits, "final_geometry", options)
    try:
        return None if found is None else check_file_name(found)
    except (TypeError, ValueError) as error:
        what = "the name of a file in the sandbox, or None"
        raise _returned("final_geometry", found, what, traits.final_geometry) from error


def keeps_geometry(traits: Traits, options: Any) -> bool:
    """Whether a step's values certainly belong to the geometry that it starts from.

    Raises:
        BrokenTrait: as in `called`, or the trait did not return a bool.
    """
    found = called(traits, "keeps_geometry", options)
    if not isinstance(found, bool):
        raise _returned("keeps_geometry", found, "True or False", traits.keeps_geometry)
    return found


def inapplicable_checks(traits: Traits, options: Any) -> dict[str, str]:
    """The checks that make no sense for a step, each with the reason.

    Raises:
        BrokenTrait: as in `called`, or the trait did not return a mapping of names to reasons.
    """
    found = called(traits, "inapplicable_checks", options)
    if not isinstance(found, Mapping) or not all(
        isinstance(word, str) for item in found.items() for word in item
    ):
        what = "a mapping of checks to reasons"
        raise _returned("inapplicable_checks", found, what, traits.inapplicable_checks)
    return dict(found)


def needs(traits: Traits, molecule: Molecule, options: Any, cores: int) -> Needs:
    """What a job of the function needs for `molecule`.

    Raises:
        BrokenTrait: as in `called`, or the trait did not return `Needs` or None.
    """
    found = None
    if traits.needs is not None:
        found = called(traits, "needs", molecule, options, cores)
        if found is not None and not isinstance(found, Needs):
            raise _returned("needs", found, "wqmaster.tasks.needs.Needs or None", traits.needs)
    return found or Needs(max(1, len(molecule.numbers)))


def file_lack(leaves: Leaves, name: str) -> Lack | None:
    """Why a step does not write the file `name`, according to `leaves`; None if it can.

    Raises:
        BrokenTrait: `Leaves.file` raised an error or returned something else.
    """
    try:
        found: Any = leaves.file(name)
    except (Exception, SystemExit) as error:  # a user's function can raise anything
        raise _raised("leaves", error, leaves.file, " (file)") from error
    if found is not None and not isinstance(found, Lack):
        raise _returned("leaves", found, "Lack or None", leaves.file, where=" (file)")
    return found


def _raised(name: str, error: BaseException, function: Any, where: str = "") -> BrokenTrait:
    what = told(error, function)
    return BrokenTrait(f"its '{name}'{where} raised {what}{_INSTEAD.get(name, '')}")


def _returned(
    name: str, found: Any, wanted: str, function: Any, which: str = "", where: str = ""
) -> BrokenTrait:
    place = defined(function)
    return BrokenTrait(
        f"its '{name}'{where} returned {which}{found!r:.60} (of type {type(found).__name__}), "
        f"but must return {wanted}" + (f" ({place})" if place is not None else "")
    )
