"""Decorators that restrict a parser to the final evaluation (see `evaluations`)."""

from collections.abc import Callable
from functools import wraps
from typing import TypeVar

from wqmaster.errors import ParseError
from wqmaster.parsers.base import Output
from wqmaster.parsers.orca.evaluations import Evaluation, described, evaluations, final
from wqmaster.parsers.orca.events import geometry_block
from wqmaster.parsers.orca.roots import followed, of_its_density, of_the_scf

T = TypeVar("T")


def _elsewhere(output: Output, read: Callable[[Output], T], last: Evaluation) -> ParseError:
    """An error that reports which evaluation the value of `read` belongs to."""
    text = output.text
    where = "several evaluations"
    for one in reversed(evaluations(text)):
        try:
            read(output.with_text(one.text(text)))
        except ParseError:
            continue
        earlier = "an earlier SCF (another state or a guess)"
        where = earlier if one is last else described(text, one)
        break
    name = getattr(read, "__name__", "value")
    return ParseError(
        f"the last block for '{name}' belongs to {where}, but the final energy to"
        f" {described(text, last)}; add a single point that computes it at the final geometry"
    )


def _of_root(output: Output, read: Callable[[Output], T], last: Evaluation) -> T | None:
    """The value that `read` finds for the density of the root that ORCA followed.

    None if ORCA followed no root.

    Raises:
        ParseError: ORCA followed a root but printed the value only for the SCF state.
    """
    text = output.text
    root = followed(text, last)
    if root is None:
        return None
    excerpt = of_its_density(last.state_text(text))
    head = geometry_block(text, last.geometry) if last.geometry is not None else ""
    try:
        if excerpt:
            return read(output.with_text(f"{head}\n\n{excerpt}"))
    except ParseError:
        pass
    read(output)
    raise of_the_scf(text, last, root, getattr(read, "__name__", "value"))


def _of_final(
    read: Callable[[Output], T], of_state: bool, of_density: bool = False
) -> Callable[[Output], T]:
    @wraps(read)
    def of_final(output: Output) -> T:
        text = output.text
        last = final(text)
        if of_state and last.layers:
            raise ParseError(
                f"the energy of {described(text, last)} is that of all layers of the system, but"
                " ORCA prints the wave function of only one layer"
            )
        if of_density and (found := _of_root(output, read, last)) is not None:
            return found
        parts = [part for part in (last, last.twin) if part is not None]
        for part in parts:
            excerpt = part.state_text(text) if of_state else part.text(text)
            try:
                return read(output.with_text(excerpt))
            except ParseError as error:
                if excerpt == text:
                    raise error from None
        # This call raises if no part of the output has an intact block. Otherwise, another
        # evaluation has it.
        read(output)
        raise _elsewhere(output, read, last)

    return of_final


def of_final_evaluation(read: Callable[[Output], T]) -> Callable[[Output], T]:
    """Restrict a parser to the output of the final evaluation.

    All values of such parsers belong to the same geometry. If the final evaluation lacks the value,
    the parser raises a ParseError that names the evaluation that has it.
    """
    return _of_final(read, of_state=False)


def of_scf_state(read: Callable[[Output], T]) -> Callable[[Output], T]:
    """Refuse the value of `read` if ORCA followed an excited state (see `roots`).

    This is for a property, such as the polarizability, whose block does not name its state.
    """

    @wraps(read)
    def of_scf(output: Output) -> T:
        found = read(output)
        text = output.text
        last = final(text)
        root = followed(text, last)
        if root is not None:
            raise of_the_scf(text, last, root, getattr(read, "__name__", "value"))
        return found

    return of_scf


def of_final_state(read: Callable[[Output], T]) -> Callable[[Output], T]:
    """Restrict a parser of a wave function property to the final evaluation, after its last SCF.

    The parser refuses multilayer calculations, whose energy belongs to the whole system but whose
    printed wave function belongs to one layer. It also raises what `of_final_evaluation` raises.
    """
    return _of_final(read, of_state=True)


def of_final_density(read: Callable[[Output], T]) -> Callable[[Output], T]:
    """Do the same as `of_final_state`, for a property of the density such as charges or moments.

    If ORCA computed gradients for an excited state, the value must come from the relaxed density of
    this root (see `roots`). The parser refuses any other value.
    """
    return _of_final(read, of_state=True, of_density=True)
