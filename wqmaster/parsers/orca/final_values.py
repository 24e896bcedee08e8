"""Parsers whose value is that of the final evaluation (`evaluations`), or none."""

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
    """The error that what `read` reads is of another evaluation than the final one."""
    text = output.text
    where = "several evaluations"
    for one in reversed(evaluations(text)):
        try:
            read(output.with_text(one.text(text)))
        except ParseError:
            continue
        there = "an earlier SCF there (another state, or a guess)"
        where = there if one is last else described(text, one)
        break
    name = getattr(read, "__name__", "value")
    return ParseError(
        f"the last block for '{name}' belongs to {where}, the final energy to"
        f" {described(text, last)}: add a single"
        " point that computes it at the final geometry"
    )


def _of_root(output: Output, read: Callable[[Output], T], last: Evaluation) -> T | None:
    """What `read` reads of the density of the root that was followed; None if there is no root.

    Raises:
        ParseError: there is one, and ORCA printed the value of the SCF alone.
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
                f"the energy of {described(text, last)} is of all layers of the system; what ORCA"
                " prints of a wave function is of one of them"
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
        # Either it is missing or damaged wherever it is, which this says, or it is elsewhere.
        read(output)
        raise _elsewhere(output, read, last)

    return of_final


def of_final_evaluation(read: Callable[[Output], T]) -> Callable[[Output], T]:
    """Let a parser read what was printed in the final evaluation, and nothing else.

    Its value is then of one geometry with all others of this kind. It raises a ParseError that
    names the evaluation that has the value where the final one has not.
    """
    return _of_final(read, of_state=False)


def of_final_state(read: Callable[[Output], T]) -> Callable[[Output], T]:
    """The same for a value of the wave function: what was printed after the evaluation's last SCF.

    Of a calculation in layers it is refused: its energy is of the whole system, and what is printed
    of a wave function is of one layer. Raises what `of_final_evaluation` raises.
    """
    return _of_final(read, of_state=True)


def of_final_density(read: Callable[[Output], T]) -> Callable[[Output], T]:
    """The same for a value of the electron density, such as charges and moments.

    Of an excited state that ORCA computed gradients of, it is that of the relaxed density of the
    root, or refused (`roots`). Raises what `of_final_evaluation` raises.
    """
    return _of_final(read, of_state=True, of_density=True)
