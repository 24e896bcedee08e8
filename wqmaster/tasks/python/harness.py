# mypy: ignore-errors
# ruff: noqa: UP031, UP036, PTH100, PTH103, PTH105, PTH109, PTH118, PTH119, PTH120, PTH123
"""Call one Python function on a worker: `python3 harness.py CALL.json`.

This file is sent to workers; wqmaster never imports it. It needs Python 3.4 or newer and only the
standard library. An older Python can parse enough of this file to report its own version.

CALL.json contains the function's dotted name, the document, the arguments, the name of the file
with the user's modules, a seed, and the name of the file for the result. The result is a value or
an error. It is written at the very end, by one rename.
"""

import sys

if sys.version_info < (3, 4):
    sys.stderr.write("Python 3.4 or newer is needed, this is %d.%d\n" % sys.version_info[:2])
    sys.exit(126)  # "cannot be executed", so that a worker with a newer Python gets the job

import base64
import contextlib
import importlib
import json
import os
import random
import traceback

# The smallest and largest integers that the database can store.
MIN_INTEGER, MAX_INTEGER = -(2**63), 2**63 - 1
MAX_TEXT_CHARACTERS = 2000


class NoJson(Exception):
    """JSON cannot represent a value."""


def plain(value, place):
    """Convert `value` for JSON, including NumPy's arrays and numbers and similar types.

    Raises:
        NoJson: JSON or the database cannot represent `value`; the message begins with `place`.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, int):
        if not MIN_INTEGER <= value <= MAX_INTEGER:
            raise NoJson("%s is an integer of more than 64 bits" % place)
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, (list, tuple)):
        return [plain(item, "%s[%d]" % (place, n)) for n, item in enumerate(value)]
    if isinstance(value, dict):
        found = {}
        for key, item in value.items():
            if isinstance(key, bool) or not isinstance(key, (str, int)):
                raise NoJson("%s has the key %r, which is not a string" % (place, key))
            if str(key) in found:
                raise NoJson("%s has the key %r twice, as string and as number" % (place, key))
            found[str(key)] = plain(item, "%s[%r]" % (place, key))
        return found
    for name in ("tolist", "item"):
        method = getattr(value, name, None)
        if callable(method):
            other = method()
            if type(other) is not type(value):
                return plain(other, place)
    raise NoJson(
        "%s is a %s, which JSON cannot hold; return numbers, strings, lists or dicts"
        % (place, type(value).__name__)
    )


def unpack(path):
    """Write the files that the JSON file at `path` contains, in their folders."""
    with open(path, "rb") as file:
        sent = json.loads(file.read().decode("ascii"))
    for name, content in sent.items():
        folder = os.path.dirname(name)
        if folder:
            os.makedirs(folder, exist_ok=True)
        with open(name, "wb") as file:
            file.write(base64.b64decode(content.encode("ascii")))


def read_xyz(path):
    """The symbols and the coordinates (Angstrom) in an XYZ file."""
    with open(path, "rb") as file:
        lines = file.read().decode("utf-8", "replace").splitlines()
    rows = [line.split() for line in lines[2 : 2 + int(lines[0])]]
    symbols = [row[0].capitalize() for row in rows]
    # Fortran can print 0.1D+01.
    places = [[float(word.upper().replace("D", "E")) for word in row[1:4]] for row in rows]
    return symbols, places


def seed_all(seed):
    """Seed `random`, and NumPy if it is loaded."""
    random.seed(seed)
    numpy = sys.modules.get("numpy")
    if numpy is not None and hasattr(numpy, "random"):
        numpy.random.seed(seed)


def text_of(value):
    """The beginning of `str(value)`. If that raises an error, the text describes the error."""
    try:
        text = str(value)
    except Exception as error:
        text = "it has no text: %r" % (error,)
    return text[:MAX_TEXT_CHARACTERS]


def place_of(error, home):
    """The innermost line of the traceback in the user's files; None if there is no such line."""
    here = os.path.abspath(__file__)
    for name, line, function, _ in reversed(traceback.extract_tb(error.__traceback__)):
        full = os.path.abspath(os.path.join(home, name))
        if full.startswith(home + os.sep) and full != here:
            return "%s, line %d, in %s" % (os.path.relpath(full, home), line, function)
    return None


def describe(error, stage, home):
    """Describe an error in plain data for JSON."""
    found = {
        "stage": stage,
        "type": type(error).__name__,
        "kinds": [kind.__name__ for kind in type(error).__mro__],
        "message": text_of(error),
        "place": place_of(error, home),
        "errno": getattr(error, "errno", None) if isinstance(error, OSError) else None,
    }
    if isinstance(error, SyntaxError):
        found["message"] = text_of(error.msg)
        found["place"] = "%s, line %s" % (os.path.basename(error.filename or "?"), error.lineno)
    return found


def main(path):
    """Call the function that the file at `path` names, and write its result."""
    home = os.path.realpath(os.getcwd())
    process = os.getpid()
    with open(path, "rb") as file:
        call = json.loads(file.read().decode("ascii"))
    target = os.path.join(home, call["result"])
    found = {"function": call["function"], "python": sys.version.split()[0]}
    stage = "import"
    # The folder of this file is left out, so that its files are not mistaken for the user's.
    own = os.path.dirname(os.path.realpath(__file__))
    sys.path[:] = [home] + [path for path in sys.path if os.path.realpath(path) not in (own, home)]
    sys.argv[1:] = []
    try:
        unpack(call["modules"])
        if call.get("geometry"):
            document = call["document"]
            symbols, document["coordinates"] = read_xyz(call["geometry"])
            if document.setdefault("symbols", symbols) != symbols:
                raise ValueError("the atoms in %s are not the document's" % call["geometry"])
        seed_all(call["seed"])
        module, _, name = call["function"].rpartition(".")
        function = getattr(importlib.import_module(module), name)
        seed_all(call["seed"])
        stage = "call"
        value = function(call["document"], **call["arguments"])
        stage = "result"
        found["value"] = plain(value, "the result")
        text = json.dumps(found)
        code = 0
    except BaseException as error:  # the function can also raise SystemExit
        traceback.print_exc()
        found.pop("value", None)
        found["error"] = describe(error, stage, home)
        text = json.dumps(found)
        code = 1
    with contextlib.suppress(AttributeError, OSError, ValueError):  # the function closed it
        sys.stdout.flush()
    if os.getpid() != process:  # a child that the function forked must not write the result
        os._exit(code)
    with open(target + ".part", "w") as file:
        file.write(text)
    os.replace(target + ".part", target)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
