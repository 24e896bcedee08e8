"""The geometry and state that each file of an xtb run belongs to, and errors if they differ.

All files of real runs of xtb 6.7.1 were recomputed (`--opt`, `--ohess`, `--bhess`, `--md`, `--vip`,
a relaxed scan, GFN1, GFN2, GFN-FF). The results:

- `--opt`, `--ohess`: everything belongs to the last geometry (xtbopt.xyz), except "dipole / a.u."
  and "electronic energy" in xtbout.json, which belong to the initial one. After `--ohess`,
  xtbopt.xyz and molecule.engrad have a different orientation than the frames in xtbopt.log.
- `--bhess`: xtbout.json and the SUMMARY have the energy and gradient norm at the initial geometry.
  molecule.engrad and the box at the end have the energy and gradient at xtbopt.xyz, including the
  bias, which is 15 mEh for ethanol. Charges, orbitals and bond orders belong to xtbopt.xyz, but
  gfnff_charges belongs to the initial geometry.
- `--vip`, `--vea`, `--vipea`, `--vomega`: xtb computes the ion last, at the same geometry. All
  values in xtbout.json and wbo belong to the ion. molecule.engrad has the energy of the molecule
  and the gradient of the ion.
- A relaxed scan: xtbopt.xyz, charges and orbitals belong to the last point. Energy and gradient
  belong to the optimization before the scan.
- `--oniom`: molecule.engrad, xtbopt.xyz and the box at the end have the energy and gradient of the
  whole molecule; the SUMMARY, charges, orbitals and bond orders belong to the inner region.
- `$fix`: molecule.engrad has zeros for the fixed atoms; the SUMMARY has the norm of the full
  gradient.
- `--md`: everything belongs to the initial geometry; xtb.trj has the energy of each structure.
"""

from wqmaster.errors import ParseError
from wqmaster.parsers.base import Output
from wqmaster.parsers.xtb.text import last_line, results, stdout

_LAYERS = "| ONIOM TOTAL ENERGY "
_ION = "|        vertical delta SCC "
_ION_FLAGS = frozenset({"--vip", "--vea", "--vipea", "--vomega"})
_BIASED = "|            Biased Numerical Hessian             |"
_SCAN = " RELAXED SCAN"


def _text(output: Output) -> str:
    return stdout(output) if output.has("stdout") else ""


def _called(output: Output) -> frozenset[str]:
    """The arguments in the command line that the printout or xtbout.json repeats."""
    stated = last_line(_text(output), "program call ")
    if stated is None and output.has("xtbout.json"):
        stated = str(results(output).get("program call", ""))
    return frozenset((stated or "").split())


def is_of_an_ion(output: Output) -> bool:
    """Whether xtb computed an ion last, as with `--vip`, `--vea`, `--vipea` or `--vomega`."""
    return _ION in _text(output) or bool(_ION_FLAGS & _called(output))


def is_biased(output: Output) -> bool:
    """Whether this is a `--bhess` run, in which a bias is added to the potential."""
    return _BIASED in _text(output) or "--bhess" in _called(output)


def has_scan(text: str) -> bool:
    """Whether xtb started a relaxed scan."""
    return f"\n{_SCAN}\n" in text


def is_layered(text: str) -> bool:
    """Whether this is an `--oniom` run, in which an inner region has its own method."""
    return last_line(text, _LAYERS) is not None


def is_mixed(output: Output) -> bool:
    """Whether the files belong to different geometries, so that there is no single energy."""
    return is_biased(output) or has_scan(_text(output))


def not_of_an_ion(output: Output, what: str) -> None:
    """Refuse values that belong to an ion.

    Raises:
        ParseError: `what` belongs to the ion that xtb computes with `--vip`, `--vea` and so on.
    """
    if is_of_an_ion(output):
        raise ParseError(
            f"{what} would belong to the ion that --vip, --vea, --vipea or --vomega computes last, "
            "not to the molecule"
        )


def not_of_a_region(output: Output, what: str) -> None:
    """Refuse values that belong to only a part of the molecule.

    Raises:
        ParseError: `what` belongs to the inner region of `--oniom`.
    """
    if is_layered(_text(output)):
        raise ParseError(
            f"{what} would belong to the inner region of --oniom, the energy to the whole molecule"
        )


def of_the_molecule(output: Output, what: str) -> None:
    """Refuse values that belong to an ion or to only a part of the molecule.

    Raises:
        ParseError: in the same cases as `not_of_an_ion` and `not_of_a_region`.
    """
    not_of_an_ion(output, what)
    not_of_a_region(output, what)


def of_one_geometry(output: Output, what: str) -> None:
    """Refuse values that do not belong to the run's final geometry.

    Raises:
        ParseError: `what` belongs to another geometry or includes a bias (see the module's list).
    """
    if is_biased(output):
        raise ParseError(
            f"{what} of --bhess belongs to the initial geometry in xtbout.json and SUMMARY, and "
            "includes the bias elsewhere; run a single point at xtbopt.xyz"
        )
    if has_scan(_text(output)):
        raise ParseError(
            f"{what} belongs to the optimization before the relaxed scan, but xtbopt.xyz to its "
            "last point; the parser 'frames' returns each point with its energy"
        )
