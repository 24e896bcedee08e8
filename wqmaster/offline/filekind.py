"""Recognize files that a user could mistake for the standard output of a program."""

import re

# How many bytes are examined; all kinds of files that are recognized have their headings there.
_HEAD_BYTES = 1 << 16
_ATOM = re.compile(r"\s*[A-Za-z0-9]{1,6}(?:\s+[-+]?\d+\.?\d*(?:[eEdD][-+]?\d+)?){3}")
_ORCA_INPUT = re.compile(
    r"^\s*(?:![ \t]*\w|%[a-z]+\b|\*[ \t]*(?:xyz|int|gzmt|xyzfile)\b)", re.I | re.M
)
_BINARY = {
    ".gbw": "ORCA's binary file with orbitals (.gbw)",
    ".densities": "ORCA's binary file with densities",
    ".scfp": "ORCA's binary file with an SCF density",
    ".res": "a binary restart file",
}
JSON = "a JSON file"
XYZ = "a file with coordinates (XYZ)"
# Common file-name endings for printed output.
PRINTED = (".out", ".log", ".txt", ".output", ".stdout")


def _is_xyz(text: str) -> bool:
    lines = text.split("\n", 3)
    first = lines[0].split()
    return (
        len(lines) > 2
        and len(first) == 1
        and first[0].isascii()
        and first[0].isdecimal()
        and _ATOM.match(lines[2]) is not None
    )


def _of_text(text: str, name: str) -> str | None:
    """The kind of a text file; None if it is not a known kind."""
    words = text.lstrip()
    if "!PROPERTIES!" in text[:500] or "$Calculation_Status" in text or "$Calculation_Info" in text:
        return "ORCA's property file as text (.property.txt)"
    if words.startswith("$orca_hessian_file"):
        return "ORCA's Hessian, whose name should end in .hess"
    if words.startswith("#") and "# Number of atoms" in text[:200]:
        return "a gradient file, whose name should end in .engrad"
    if _is_xyz(words):
        return XYZ
    if words.startswith("[Molden Format]"):
        return "a Molden file"
    if words[:1] in ("{", "["):
        return JSON
    if words.startswith(("HEADER", "ATOM  ", "HETATM", "REMARK", "CRYST1")):
        return "a PDB file"
    if name.endswith((".inp", ".orca")) and _ORCA_INPUT.search(text):
        return "an input file of ORCA"
    return None


def kind_of(name: str, content: bytes) -> str | None:
    """The kind of a file, in words; None if it could be the printed output of a program.

    The content decides, together with the name if the content is not enough.
    """
    start = content[:_HEAD_BYTES]
    lower = name.lower()
    if b"\0" in start:
        kinds = (words for suffix, words in _BINARY.items() if lower.endswith(suffix))
        # Printed output that contains a NUL byte is damaged, but still an output.
        return next(kinds, None if lower.endswith(PRINTED) or "." not in lower else "a binary file")
    return _of_text(start.decode("utf-8", errors="replace"), lower)
