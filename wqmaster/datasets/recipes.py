"""The recipes of the results that are exported: one, unless the user wants to mix them."""

from collections.abc import Sequence

from wqmaster.datasets.source import Source
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import NothingMatches, RecipeMismatch
from wqmaster.system.this_command import this_command


def accept_recipes(sources: Sequence[Source], *, mixed: bool) -> None:
    """Set the recipes whose results each source reads: its campaign's own, or all if `mixed`.

    Adopted results state their own recipes. A source reads them if they all have the same recipe
    and no other results are stored beside them.

    Raises:
        NothingMatches: there are no results.
        RecipeMismatch: there are several recipes, and they may not be mixed.
    """
    found = {source: source.recipes() for source in sources}
    names = ", ".join(source.name for source in sources)
    if not any(found.values()):
        path = sources[0].recipe.loaded.typed
        others = sum(source.unselected() for source in sources)
        if others:
            done = "1 document" if others == 1 else f"{others:,} documents"
            raise NothingMatches(f"{names}: the query selects none of {done} with results")
        for source in sources:
            source.check_filled()
        raise NothingMatches(
            f"{names}: there are no results to export; compute some: {this_command()} run {path}"
        )
    if mixed:
        for source in sources:
            source.accepted = None
        return
    used = set()
    for source, recipes in found.items():
        if len(recipes) == 1:
            (recipe, is_adopted), _ = next(iter(recipes.items()))
            if is_adopted and recipe is not None:
                source.accepted = frozenset({recipe})
        others = sum(
            count
            for (recipe, _), count in recipes.items()
            # The source leaves out results that state no recipe, and counts each.
            if source.accepted is not None and recipe not in {*source.accepted, None}
        )
        if others:
            adopted = any(is_adopted for _, is_adopted in recipes)
            total = sum(recipes.values())
            results = "1 result" if total == 1 else f"{total:,} results"
            path = source.recipe.loaded.typed
            what = (
                f"the outputs of the {results} state several recipes"
                if adopted
                else (
                    f"{others:,} of {results} {'has' if others == 1 else 'have'} a different "
                    "recipe from that of the campaign file; restore the file, or compute all "
                    f"results again: {this_command()} rerun {path} --query '{{}}'"
                )
            )
            raise RecipeMismatch(
                f"{source.name}: {what}; --mix-recipes exports all results, and --query only "
                "those that it selects",
                code=ErrorCode.RECIPES_MIXED,
            )
        used.add(source.accepted)
    if len(used) > 1:
        raise RecipeMismatch(
            f"{names}: these campaigns have {len(used)} recipes, whose energies cannot be "
            "compared; export each to its own file, or all to one file with --mix-recipes",
            code=ErrorCode.RECIPES_MIXED,
        )
