"""python: call any Python function next to the campaign file on the worker."""

import ast
import base64
import contextlib
import hashlib
import json
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, StringConstraints, field_validator

from wqmaster.campaign.base import FIELD, allowing, nearest
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import WqmasterError
from wqmaster.jobs.job import Execution, Input, Job, check_file_name
from wqmaster.jobs.molecule import SYMBOLS, Molecule
from wqmaster.tasks.base import OptionError, Software, StepRequest, task
from wqmaster.tasks.campaign_files import (
    SharedInputs,
    check_shared,
    keep,
    kept_inputs,
    read,
    shared_inputs,
    threads,
)
from wqmaster.tasks.fields import id_text, pick, plain, shortest
from wqmaster.tasks.program import Program

HARNESS = Path(__file__).with_name("harness.py")
RESULT = "result.json"
# The limit for all modules of a step together. They are unpacked for each job.
_MAX_MODULES_BYTES = 16 << 20
# The keys that describe the molecule in the document that a function receives.
_OF_MOLECULE = ("atomic_numbers", "symbols", "coordinates", "charge", "multiplicity")
_NOT_SENT = ("__pycache__", ".git")

_FUNCTION = allowing(
    "MODULE.FUNCTION, in letters, digits and '_'", r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$"
)


class Call(SharedInputs):
    """The options for a step of `call`."""

    # MODULE.FUNCTION. The module is a file next to the campaign file, or one of `modules`.
    function: str = Field(pattern=_FUNCTION)
    # Further modules, packages (folders) and data files that the function needs (paths relative to
    # the campaign file). The function finds them in its working folder, under the same names.
    modules: tuple[str, ...] = ()
    # Constant keyword arguments.
    arguments: dict[str, Any] = Field(default_factory=dict)
    # Document fields that the function receives besides the molecule's.
    fields: tuple[Annotated[str, StringConstraints(pattern=FIELD)], ...] = ()

    @field_validator("fields")
    @classmethod
    def _not_of_the_molecule(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if name.partition(".")[0] in ("_id", *_OF_MOLECULE):
                raise ValueError(f"'{name}' is always in the function's document; remove it here")
        return value

    @field_validator("arguments")
    @classmethod
    def _json(cls, value: dict[str, Any]) -> dict[str, Any]:
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ValueError(f"an argument cannot be converted to JSON: {error}") from error
        return value

    @property
    def top(self) -> str:
        """The top-level module or package of the function."""
        return self.function.partition(".")[0]

    @property
    def named(self) -> tuple[str, ...]:
        """The paths of everything that is sent, beginning with the function's module."""
        names = {Path(path).name for path in self.modules}
        own = () if {self.top, f"{self.top}.py"} & names else (f"{self.top}.py",)
        return (*own, *self.modules)


@dataclass(frozen=True)
class LoadedCall:
    """A step's options with the modules that are sent to workers."""

    options: Call
    files: Mapping[str, bytes]  # path on the worker -> content
    sources: tuple[str, ...]  # the paths of the files, relative to the campaign file

    def packed(self) -> bytes:
        """The modules as the harness expects them: JSON that maps paths to contents in base64."""
        found = {name: base64.b64encode(self.files[name]).decode() for name in sorted(self.files)}
        return json.dumps(found).encode()


@dataclass(frozen=True)
class PreparedCall:
    """The files in the cache that a step's jobs share."""

    modules: Path
    inputs: tuple[Input, ...]


def _load(options: Call, software: Software) -> LoadedCall:
    found: dict[str, bytes] = {}
    sources = []
    for named in options.named:
        with _blaming("modules" if named in options.modules else "function"):
            for there, path in _files(named, software):
                if there in found:
                    raise ValueError(f"two files would be '{there}' on the worker; rename one")
                found[there] = read(software, path)
                sources.append(path)
    with _blaming("modules"):
        _check_modules(found)
    with _blaming("function"):
        definition = _definition(options, found)
        if isinstance(definition, ast.FunctionDef) and not definition.decorator_list:
            _check_arguments(definition.args, options)
    return LoadedCall(options, found, tuple(sources))


@contextlib.contextmanager
def _blaming(*keys: str) -> Iterator[None]:
    """Let a ValueError point to the option with these keys, unless it names another one."""
    try:
        yield
    except OptionError:
        raise
    except ValueError as error:
        raise OptionError(str(error), keys) from error


def _files(path: str, software: Software) -> Iterator[tuple[str, str]]:
    """Yield each file's path on the worker and its path relative to the campaign file.

    `path` is a file or a folder, whose files are yielded.

    Raises:
        ValueError: the path does not exist, has an invalid name, or contains the campaign file.
    """
    place = software.beside / path
    top = check_file_name(place.name)
    if place.is_file():
        yield top, path
    elif place.is_dir():
        if place.resolve() in (software.beside.resolve(), *software.beside.resolve().parents):
            raise ValueError(f"'{path}' contains the campaign file; name a subfolder")
        for inner in sorted(place.rglob("*")):
            parts = inner.relative_to(place).parts
            if inner.is_file() and not (set(parts) & set(_NOT_SENT)) and inner.suffix != ".pyc":
                yield "/".join((top, *parts)), str(Path(path, *parts))
    else:
        raise ValueError(f"there is no file '{path}' next to the campaign file")


def _uses(loaded: LoadedCall) -> Iterable[str]:
    return (*loaded.sources, *loaded.options.inputs)


def _fields(loaded: LoadedCall) -> Iterable[str]:
    return shortest(loaded.options.fields)


def _python(software: Software) -> tuple[str, ...]:
    return software.argv("python" if "python" in software.commands else "python3")


def _runs(options: Call, software: Software) -> Iterable[str]:
    return _python(software)[:1]


def _check_modules(files: Mapping[str, bytes]) -> None:
    if sum(map(len, files.values())) > _MAX_MODULES_BYTES:
        raise ValueError(
            f"the modules exceed {_MAX_MODULES_BYTES >> 20} MB, but are unpacked for each job; "
            "name large files in 'inputs:' and open them as ../shared/NAME"
        )
    for name in files:
        top, _, inner = name.partition("/")
        if top == RESULT or top.startswith(("call-", "modules-")):
            raise ValueError(f"the file name '{top}' is reserved for the runner; rename it")
        is_module = bool(inner) or top.endswith(".py")
        if is_module and top.removesuffix(".py") in sys.stdlib_module_names:
            raise ValueError(f"'{top}' would hide Python's own module of that name; rename it")


def _definition(options: Call, files: Mapping[str, bytes]) -> ast.stmt | None:
    """The statement that binds the function's name; None if an import with '*' may bind it."""
    module, _, function = options.function.rpartition(".")
    base = module.replace(".", "/")
    found = next((name for name in (f"{base}.py", f"{base}/__init__.py") if name in files), None)
    if found is None:
        raise ValueError(f"there is no module '{module}' in {', '.join(sorted(files))}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(files[found])
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        why = getattr(error, "msg", error)
        raise ValueError(f"{found}, line {line or '?'}: {why}") from error
    names = dict(_bound(tree.body))
    if function not in names and "*" not in names:
        functions = [name for name, node in names.items() if isinstance(node, ast.FunctionDef)]
        raise ValueError(
            f"{found} has no function '{function}'; {nearest(function, functions or names)}"
        )
    definition = names.get(function)
    if isinstance(definition, ast.AsyncFunctionDef):
        raise ValueError(f"'{function}' is an async function, which is not supported")
    return definition


def _bound(body: Iterable[ast.stmt]) -> Iterator[tuple[str, ast.stmt]]:
    """Yield each name that a module's statements bind, also within `if`, `try` and `with`."""
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name, node
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            for alias in node.names:
                yield alias.asname or alias.name.partition(".")[0], node
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            for child in ast.walk(node):
                if isinstance(child, ast.Name) and isinstance(child.ctx, ast.Store):
                    yield child.id, node
        else:
            for part in ("body", "orelse", "finalbody"):
                yield from _bound(getattr(node, part, ()))
            for handler in getattr(node, "handlers", ()):
                yield from _bound(handler.body)


def _check_arguments(signature: ast.arguments, options: Call) -> None:
    positional = [argument.arg for argument in (*signature.posonlyargs, *signature.args)]
    if not positional and signature.vararg is None:
        raise ValueError(f"'{options.function}' must take the document as its first argument")
    with_default = positional[len(positional) - len(signature.defaults) :]
    keywords = [argument.arg for argument in signature.kwonlyargs]
    required = [name for name in positional[1:] if name not in with_default]
    required += [
        name
        for name, default in zip(keywords, signature.kw_defaults, strict=True)
        if default is None
    ]
    named = [*positional[max(1, len(signature.posonlyargs)) :], *keywords]
    for name in options.arguments:
        if name not in named and (signature.kwarg is None or name in positional[:1]):
            hint = nearest(name, named) if named else "it takes only the document"
            message = f"'{options.function}' has no argument '{name}'; {hint}"
            raise OptionError(message, ("arguments", name))
    for name in required:
        if name not in options.arguments:
            message = f"'{options.function}' needs a value for '{name}' in 'arguments:'"
            raise OptionError(message, ("arguments",))


def _prepare(loaded: LoadedCall, software: Software) -> PreparedCall:
    inputs = kept_inputs(loaded.options, software)
    try:
        modules = keep(loaded.packed(), "modules.json", software.the_cache)
    except OSError as error:
        function = loaded.options.function
        raise WqmasterError(
            f"the modules of {function} cannot be copied: {error}", code=ErrorCode.FILE_NOT_COPIED
        ) from error
    return PreparedCall(modules, inputs)


def _document(molecule: Molecule, options: Call) -> dict[str, Any]:
    """The document that the function receives, with lengths in Å and the charge in e."""
    found = plain(pick(molecule.document, options.fields), "document")
    assert isinstance(found, dict)  # noqa: S101  # `plain` converts a dict to a dict
    found["_id"] = id_text(molecule.id) if not isinstance(molecule.id, int) else molecule.id
    if molecule.numbers:
        found["atomic_numbers"] = list(molecule.numbers)
        found["symbols"] = [SYMBOLS[number] for number in molecule.numbers]
        found["coordinates"] = [list(row) for row in molecule.coordinates]
        found["charge"] = molecule.charge
        found["multiplicity"] = molecule.multiplicity
    return found


PROGRAM = Program("python", "wqmaster.parsers.python")


@task(
    program=PROGRAM,
    options=Call,
    molecule=False,
    load=_load,
    uses=_uses,
    fields=_fields,
    runs=_runs,
    check=check_shared,
    prepare=_prepare,
    takes_geometry=True,
)
def call(molecule: Molecule, steps: Sequence[StepRequest], software: Software) -> Job:
    """Call a function as `function(document, **arguments)` and return what it returns.

    The document is a dict with `_id`, `atomic_numbers`, `symbols`, `coordinates` (Å, shape (n, 3)),
    `charge`, `multiplicity`, and the requested `fields` unless they are missing. Arguments and
    results must be JSON. `software: {python: ...}` replaces `python3`. `random` and NumPy's global
    generator are seeded for each document.

    Raises:
        BadDocument: a field has a type that JSON lacks, or contains a number that is not finite.
    """
    seed = int(hashlib.sha256(id_text(molecule.id).encode()).hexdigest()[:8], 16)
    files: dict[str, bytes] = {}
    inputs = [Input(HARNESS, "wqmaster-harness.py")]
    executions = []
    for step in steps:
        options: Call = step.options
        prepared: PreparedCall | None = step.prepared
        if prepared is None:
            modules = f"modules-{step.name}.json"
            files[modules] = step.loaded.packed()
            inputs += shared_inputs(options, software)
        else:
            modules = f"../shared/{prepared.modules.name}"
            inputs += [Input(prepared.modules, prepared.modules.name), *prepared.inputs]
        what = {
            "function": options.function,
            "arguments": options.arguments,
            "document": _document(molecule, options),
            "geometry": step.geometry_file,
            "modules": modules,
            "seed": seed,
            "result": RESULT,
        }
        files[f"call-{step.name}.json"] = json.dumps(what).encode()
        executions.append(
            Execution(
                name=step.name,
                argv=(
                    *_python(software),
                    "../shared/wqmaster-harness.py",
                    f"call-{step.name}.json",
                ),
                outputs=tuple(sorted({RESULT, *step.files} - {"stdout", "stderr"})),
                environment={
                    **threads(software.cores),
                    "PYTHONHASHSEED": "0",
                    "PYTHONDONTWRITEBYTECODE": "1",
                    "PYTHONFAULTHANDLER": "1",
                    "PYTHONUNBUFFERED": "1",
                    "PYTHONIOENCODING": "utf-8:backslashreplace",
                },
            )
        )
    return Job(tuple(executions), files, tuple(dict.fromkeys(inputs)))
