"""Energies from correlated wave functions: MP2, CCSD, CCSD(T) and their DLPNO variants.

After its iterations, ORCA's module mdci prints lines `label ... value` from E(0) to E(TOT). After
the triples, it prints E(CCSD) and E(CCSD(T)). The format is the same from 3.0 to 6.1. If a run
prints such energies more than once (extrapolation), the last ones count. All values belong to the
final evaluation (see `evaluations`).
"""

import re

from wqmaster.errors import ParseError
from wqmaster.parsers.base import Output, reads
from wqmaster.parsers.orca.final_values import of_final_state
from wqmaster.parsers.orca.labels import last_value, value_at, words_after
from wqmaster.parsers.orca.text import last_beginning, line_end, line_start, number

_TOTAL = "E(TOT) "
_REFERENCE = "E(0) "
_CCSD_T = "E(CCSD(T)) "
_TRIPLES = "Triples Correction (T) "
_FINAL = "Final correlation energy "
_T1 = "T1 diagnostic "
_CORRELATION = ("E(CORR)(corrected)", "E(CORR)")
_KNOWN = {"E(0)", "E(TOT)", "E(CORR)", "E(CORR)(corrected)"} | {
    f"E(CORR)({kind}-pairs)" for kind in ("strong", "weak")
}
# The tolerance for sums of energies, which ORCA prints with nine decimals.
_ROUNDING = 1e-7
_MP2 = re.compile(r"[ -]*(?:[A-Z]+-)*MP2 (?:TOTAL|CORRELATION) ENERGY *: *(\S+) +Eh *\r?\n")
_MP3 = re.compile(r"E\(MP2\) *= *(\S+) +EC\(MP2\) *= *(\S+) *\r?\n")


def _iterations(text: str, end: int) -> str:
    """The output of the last iterations before `end`, or "" if there are none."""
    start = text.rfind(" ITERATIONS", 0, end)
    return text[line_start(text, start) : end] if start >= 0 else ""


def _summary(output: Output, end: int | None = None) -> tuple[int, dict[str, float]]:
    """The position of the last lines E(0) to E(TOT) before `end`, and their values in Eh.

    Raises:
        ParseError: the lines are missing, the values do not add up, or the iterations did not
            converge.
    """
    text = output.text
    total = last_beginning(text, _TOTAL, 0, end)
    start = last_beginning(text, _REFERENCE, 0, total) if total >= 0 else -1
    if start < 0:
        raise output.missing(f"'{_TOTAL.strip()}'")
    found: dict[str, float] = {}
    position = start
    while position <= total:
        stop = line_end(text, position)
        label, dots, _ = text[position:stop].partition("...")
        if not dots or label.strip() in found:
            raise ParseError(f"the coupled-cluster energies in {output.name} are damaged")
        found[label.strip()] = value_at(output, position, label)
        position = stop + 1
    if not found.keys() >= {"E(0)", "E(TOT)"}:
        raise ParseError(f"the coupled-cluster energies in {output.name} are damaged")
    iterations = _iterations(text, start)
    if iterations and "have converged" not in iterations:
        raise ParseError("the coupled-cluster iterations did not converge")
    if found.keys() <= _KNOWN:
        parts = found["E(0)"] + next((found[key] for key in _CORRELATION if key in found), 0.0)
        if abs(parts - found["E(TOT)"]) > _ROUNDING:
            raise ParseError("E(0) and E(CORR) do not add up to E(TOT)")
    return start, found


def _entry(output: Output, *keys: str) -> float:
    found = _summary(output)[1]
    for key in keys:
        if key in found:
            return found[key]
    raise output.missing(f"'{keys[-1]}'")


def _check_coupled_cluster(output: Output) -> None:
    """Check that the last energies of module mdci are those of coupled cluster.

    Raises:
        ParseError: they are not, they are missing, or the iterations did not converge.
    """
    start, _ = _summary(output)
    iterations = _iterations(output.text, start)
    if iterations and "COUPLED CLUSTER" not in iterations.split("\n", 1)[0]:
        raise ParseError("the last correlated energy is not a coupled-cluster energy")


@reads("stdout")
@of_final_state
def reference_energy(output: Output) -> float:
    """Energy of the reference determinant, E(0), in Eh, from module mdci's last evaluation."""
    return _entry(output, "E(0)")


@reads("stdout")
@of_final_state
def ccsd_correlation_energy(output: Output) -> float:
    """CCSD correlation energy in Eh, from the final evaluation, without triples, with weak pairs.

    Raises:
        ParseError: it is missing, it did not converge, or the method is not coupled cluster.
    """
    _check_coupled_cluster(output)
    return _entry(output, *_CORRELATION)


@reads("stdout")
@of_final_state
def ccsd_energy(output: Output) -> float:
    """Total CCSD (or DLPNO-CCSD) energy in Eh, from the final evaluation, without triples.

    Raises:
        ParseError: it is missing, it did not converge, or the method is not coupled cluster.
    """
    _check_coupled_cluster(output)
    return _entry(output, "E(TOT)")


@reads("stdout")
@of_final_state
def ccsd_t_energy(output: Output) -> float:
    """Total CCSD(T) (or DLPNO-CCSD(T)) energy in Eh, from the final evaluation.

    Raises:
        ParseError: it is missing, CCSD did not converge, or it is not E(CCSD) plus the triples
            correction.
    """
    text = output.text
    position = last_beginning(text, _CCSD_T)
    if position < 0:
        raise output.missing(f"'{_CCSD_T.strip()}'")
    value = value_at(output, position, _CCSD_T)
    start, found = _summary(output, position)
    steps = [
        value_at(output, place, label)
        for label in (_TRIPLES, "Scaled triples correction (T) ")
        if (place := last_beginning(text, label, 0, position)) > start
    ]
    if steps and all(abs(found["E(TOT)"] + step - value) > _ROUNDING for step in steps):
        raise ParseError("E(CCSD(T)) is not E(TOT) plus the triples correction")
    return value


@reads("stdout")
@of_final_state
def triples_correction(output: Output) -> float:
    """Perturbative triples correction (T) from the final evaluation in Eh, unscaled.

    Raises:
        ParseError: it is missing, or CCSD did not converge.
    """
    position = last_beginning(output.text, _TRIPLES)
    if position < 0:
        raise output.missing(f"'{_TRIPLES.strip()}'")
    _summary(output, position)
    return value_at(output, position, _TRIPLES)


@reads("stdout")
@of_final_state
def t1_diagnostic(output: Output) -> float:
    """Coupled-cluster T1 diagnostic from the final evaluation, dimensionless.

    Raises:
        ParseError: it is missing, or the amplitudes did not converge.
    """
    position = last_beginning(output.text, _T1)
    if position < 0:
        raise output.missing(f"'{_T1.strip()}'")
    if "unconverged" in words_after(output, position, _T1):
        raise ParseError("the coupled-cluster iterations did not converge")
    _summary(output, position)
    return value_at(output, position, _T1)


@reads("stdout")
@of_final_state
def dlpno_strong_pairs_energy(output: Output) -> float:
    """DLPNO correlation energy of the strong pairs from the final evaluation in Eh."""
    return _entry(output, "E(CORR)(strong-pairs)")


@reads("stdout")
@of_final_state
def dlpno_weak_pairs_energy(output: Output) -> float:
    """DLPNO correlation energy of the weak pairs from the final evaluation in Eh."""
    return _entry(output, "E(CORR)(weak-pairs)")


def _mp2(output: Output, kind: str) -> tuple[int, float]:
    """The position and value (Eh) of the last MP2 energy, or (-1, 0.0) if there is none.

    `kind`: "TOTAL" or "CORRELATION". The module mdci (MP3) has its own format: `E(MP2) = total
    EC(MP2) = correlation`.
    """
    text = output.text
    label = f"MP2 {kind} ENERGY"
    position, value = -1, 0.0
    place = text.rfind(label)
    while place >= 0 and position < 0:
        begin = line_start(text, place)
        found = _MP2.match(text[begin : line_end(text, place) + 1])
        if found:
            position, value = place, number(found[1])
        place = text.rfind(label, 0, begin)
    other = last_beginning(text, "E(MP2)  =")
    if other > position:
        pair = _MP3.match(text[other : line_end(text, other) + 1])
        if pair is None:
            raise ParseError(f"the MP2 energy in {output.name} is damaged")
        return other, number(pair[1 if kind == "TOTAL" else 2])
    return position, value


def _printed_mp2(output: Output, kind: str) -> float:
    position, value = _mp2(output, kind)
    if position < 0:
        raise output.missing(f"'MP2 {kind} ENERGY'")
    return value


@reads("stdout")
@of_final_state
def mp2_energy(output: Output) -> float:
    """Total MP2 energy (also RI, DLPNO, double hybrids) from the final evaluation in Eh."""
    return _printed_mp2(output, "TOTAL")


@reads("stdout")
@of_final_state
def mp2_correlation_energy(output: Output) -> float:
    """MP2 correlation energy from the final evaluation in Eh; for a double hybrid, as printed."""
    return _printed_mp2(output, "CORRELATION")


@reads("stdout")
@of_final_state
def correlation_energy(output: Output) -> float:
    """Correlation energy from the last method in the final evaluation in Eh, including triples.

    Raises:
        ParseError: it is missing, or the iterations did not converge.
    """
    text = output.text
    final = last_beginning(text, _FINAL)
    total = last_beginning(text, _TOTAL)
    mp2, value = _mp2(output, "CORRELATION")
    if max(final, total, mp2) < 0:
        raise output.missing("'Final correlation energy'")
    if mp2 > max(final, total):
        return value
    if final > total:
        _summary(output, final)
        return last_value(output, _FINAL)
    if last_beginning(text, _TRIPLES) > total:
        raise output.missing(f"'{_FINAL.strip()}'")
    return _entry(output, *_CORRELATION)
