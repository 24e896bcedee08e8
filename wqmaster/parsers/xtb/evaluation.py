"""Which evaluation the files of a run of xtb are of; refusals where they are of different ones.

Found by recomputing every file of real runs of xtb 6.7.1 (`--opt`, `--ohess`, `--bhess`, `--md`,
`--vip`, a relaxed scan, GFN1, GFN2, GFN-FF):

- `--opt`, `--ohess`: everything is of the last geometry (xtbopt.xyz), except "dipole / a.u." and
  "electronic energy" in xtbout.json, which are of the start. After `--ohess`, xtbopt.xyz and
  molecule.engrad have another orientation than the frames of xtbopt.log.
- `--bhess`: xtbout.json and the SUMMARY have the energy and the gradient norm of the start.
  molecule.engrad and the box at the end have the energy and the gradient of xtbopt.xyz with the
  bias, which is 15 mEh for ethanol. Charges, orbitals and bond orders are those of xtbopt.xyz, but
  gfnff_charges is of the start.
- `--vip`, `--vea`, `--vipea`, `--vomega`: the ion is computed last, at the same geometry. All of
  xtbout.json and wbo is of the ion; molecule.engrad has the energy of the molecule and the gradient
  of the ion.
- A relaxed scan: xtbopt.xyz, charges and orbitals are of the last point; energy and gradient are
  those of the optimisation before the scan.
- `--oniom`: molecule.engrad, xtbopt.xyz and the box at the end have energy and gradient of the
  whole; the SUMMARY, charges, orbitals and bond orders are of the inner region.
- `--md`: everything is of the start; xtb.trj has the energy of each of its structures.
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
    """The words of the command line, as the printout or xtbout.json state it."""
    stated = last_line(_text(output), "program call ")
    if stated is None and output.has("xtbout.json"):
        stated = str(results(output).get("program call", ""))
    return frozenset((stated or "").split())


def is_of_an_ion(output: Output) -> bool:
    """Whether the ion of `--vip`, `--vea` and the like was computed last."""
    return _ION in _text(output) or bool(_ION_FLAGS & _called(output))


def is_biased(output: Output) -> bool:
    """Whether it is a run of `--bhess`, whose potential holds a bias."""
    return _BIASED in _text(output) or "--bhess" in _called(output)


def has_scan(text: str) -> bool:
    """Whether xtb began a relaxed scan."""
    return f"\n{_SCAN}\n" in text


def is_layered(text: str) -> bool:
    """Whether it is a run of `--oniom`, in which an inner region has a method of its own."""
    return last_line(text, _LAYERS) is not None


def is_mixed(output: Output) -> bool:
    """Whether the files of the run are of different geometries, so that there is no one energy."""
    return is_biased(output) or has_scan(_text(output))


def not_of_an_ion(output: Output, what: str) -> None:
    """Refuse values of the ion.

    Raises:
        ParseError: `what` is of the ion of `--vip`, `--vea` and the like.
    """
    if is_of_an_ion(output):
        raise ParseError(
            f"{what} would be of the ion that --vip, --vea, --vipea or --vomega computes last, not "
            "of the molecule"
        )


def not_of_a_region(output: Output, what: str) -> None:
    """Refuse values of a part of the molecule.

    Raises:
        ParseError: `what` is of the inner region of `--oniom`.
    """
    if is_layered(_text(output)):
        raise ParseError(
            f"{what} would be of the inner region of --oniom, the energy is of the whole molecule"
        )


def of_the_molecule(output: Output, what: str) -> None:
    """Refuse values of an ion, and of a part of the molecule.

    Raises:
        ParseError: what `not_of_an_ion` and `not_of_a_region` raise.
    """
    not_of_an_ion(output, what)
    not_of_a_region(output, what)


def of_one_geometry(output: Output, what: str) -> None:
    """Refuse values that are not of the geometry of the run's end.

    Raises:
        ParseError: `what` is of another geometry, or holds a bias: see the top of this module.
    """
    if is_biased(output):
        raise ParseError(
            f"{what} of --bhess is of the start in xtbout.json and SUMMARY, and holds the bias "
            "elsewhere: run a single point at xtbopt.xyz"
        )
    if has_scan(_text(output)):
        raise ParseError(
            f"{what} is of the optimisation before the relaxed scan, but xtbopt.xyz of its last "
            "point: the parser frames has each point with its energy"
        )
