"""Templates (Jinja) for input files, which are filled from a document.

Templates belong to the campaign and are checked when the campaign file is read. Values are only
data: a value that looks like a template is not filled.
"""

import json
import math
import re
import traceback
from collections.abc import Iterator, Mapping, Sized
from typing import Any

import jinja2
from jinja2 import Undefined, meta, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from wqmaster.campaign.models import nearest
from wqmaster.errors import BadDocument
from wqmaster.jobs.molecule import SYMBOLS, Molecule
from wqmaster.system.tracebacks import described
from wqmaster.tasks.base import OptionError, Software
from wqmaster.tasks.fields import id_text, pick, plain, shortest

# Limits on expressions in templates: the length of a multiplied text or list, and the exponent of a
# power that is computed exactly.
_MAX_ENTRIES = 1_000_000
_MAX_EXPONENT = 1000
# The variables in a template, and the attributes of `molecule`.
_VARIABLES = ("document", "molecule", "id", "cores", "memory")
_OF_MOLECULE = (
    *("symbols", "numbers", "coordinates", "atoms", "natoms"),
    *("charge", "multiplicity", "unpaired", "xyz"),
)


# Jinja's messages (jinja2/parser.py, lexer.py, runtime.py), and what they mean.
_PLAIN = (
    (r"expected token 'end of print statement', got (.*)", r"\1 is not expected in '{{ ... }}'"),
    (r"expected token 'end of statement block', got (.*)", r"\1 is not expected in '{% ... %}'"),
    (r".*, expected 'end of print statement'.*", "'{{' is not closed with '}}'"),
    (r".*, expected 'end of statement block'.*", "'{%' is not closed with '%}'"),
    (r"Missing end of comment tag", "'{#' is not closed with '#}'"),
    (r"(Expected an expression|unexpected 'end of ).*", "an expression is missing or incomplete"),
    (r"unexpected char (\"'\"|'\"') at .*", "a quotation mark is not closed"),
    (r"unexpected char (.*) at .*", r"\1 is not expected here"),
    (
        r"Unexpected end .*block that needs to be closed is '(\w+)'.*",
        r"'{% \1 ... %}' has no '{% end\1 %}'",
    ),
    (
        r"Encountered unknown tag '(\w+)'.*block that needs to be closed is '(\w+)'.*",
        r"'{% \1 %}' is not expected here; '{% \2 ... %}' needs '{% end\2 %}'",
    ),
    (
        r"Encountered unknown tag '(end\w+|else|elif)'.*",
        r"'{% \1 %}' has no '{% if ... %}' or '{% for ... %}' before it",
    ),
    (r"'?list object'? has no (?:element|attribute) (.*)", r"a list has no entry \1"),
    (r"'?dict object'? has no (?:element|attribute) (.*)", r"a mapping has no key \1"),
    (r"'?str object'? has no (?:element|attribute) (.*)", r"a text has no part \1"),
    (r"'?(?:int|float) object'? has no (?:element|attribute) (.*)", r"a number has no part \1"),
    (r"Encountered unknown tag '(\w+)'.*", r"there is no tag '{% \1 %}'"),
)
# What a value is called in messages, by its type.
_KINDS = {dict: "mapping", list: "list", str: "text", bool: "truth value", int: "number"}
_KINDS[float] = "number"


def _kind(value: Any) -> str:
    """What a value is, in plain words."""
    return next((word for kind, word in _KINDS.items() if isinstance(value, kind)), "value")


def _plain(message: str) -> str:
    """One of Jinja's messages in plain words."""
    for pattern, words in _PLAIN:
        found = re.fullmatch(pattern, message, re.DOTALL)
        if found is not None:
            return found.expand(words)
    return message[:1].lower() + message[1:]


class _Fields(dict[str, Any]):
    """A mapping in the document, with its path for messages."""

    path = ""
    # The fields that the template names.
    asked: frozenset[str] = frozenset()

    def missing(self, key: Any) -> str:
        """The field that the document lacks: `x`, or `x.y` if the template names only that.

        Without `x.y`, `x` is missing here even if the document has it: it can be a list or text.
        """
        name = f"{self.path}{key}"
        below = sorted(field for field in self.asked if f"{field}.".startswith(f"{name}."))
        return below[0] if below else name


def _named(value: Any, path: str, asked: frozenset[str]) -> Any:
    if isinstance(value, dict):
        inner = {key: _named(item, f"{path}{key}.", asked) for key, item in value.items()}
        found = _Fields(inner)
        found.path, found.asked = path, asked
        return found
    return [_named(item, path, asked) for item in value] if isinstance(value, list) else value


def _printed(value: Any) -> Any:
    """Convert a value to what `{{ }}` writes: text, a truth value, or a number with all digits.

    Raises:
        ValueError: the value has any other type, or is not finite.
    """
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"the value is not finite: {value!r}")
        return repr(float(value))
    if isinstance(value, (str, int, Undefined)):
        return value
    if value is None:
        raise ValueError("the value is null")
    raise ValueError(
        f"a {_kind(value)} cannot be written directly: name an element, loop over it with "
        "{% for %}, or use the filters join or tojson"
    )


def _fixed(value: Any, digits: int = 12) -> str:
    """The filter `fixed`, which writes a number with this many decimals and no exponent."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"'fixed' needs a finite number, not the {_kind(value)} {value!r:.60}")
    return f"{value:.{digits}f}"


def _json(value: Any) -> str:
    """The filter `tojson`, without Jinja's HTML escapes."""
    return json.dumps(value, allow_nan=False)


class _Environment(ImmutableSandboxedEnvironment):
    # A number in a document must not cause a text of gigabytes or a power that takes forever.
    intercepted_binops = frozenset({"*", "**"})

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        numbers = [value for value in (left, right) if isinstance(value, (int, float))]
        if operator == "*" and len(numbers) == 1:
            text = right if numbers[0] is left else left
            if isinstance(text, Sized) and len(text) * numbers[0] > _MAX_ENTRIES:
                raise ValueError(f"a string or list would have more than {_MAX_ENTRIES:,} entries")
        if operator == "**" and len(numbers) == 2:
            return float(left) ** float(right) if abs(right) > _MAX_EXPONENT else left**right
        return super().call_binop(context, operator, left, right)

    def __init__(self) -> None:
        super().__init__(
            undefined=jinja2.StrictUndefined,
            autoescape=False,  # input for programs, not HTML
            keep_trailing_newline=True,
            # A line that contains only {% ... %} must not leave an empty line.
            trim_blocks=True,
            lstrip_blocks=True,
            finalize=_printed,
        )
        self.filters.update(fixed=_fixed, tojson=_json)
        # These give random text, but the same document must always give the same file.
        del self.filters["random"], self.globals["lipsum"]

    def _field(self, found: Mapping[Any, Any], key: Any) -> Any:
        # A field can be named `items` or `values`, so methods are never returned.
        if key in found:
            return found[key]
        if isinstance(found, _Fields):
            return self.undefined(hint=f"the document has no field '{found.missing(key)}'")
        return self.undefined(obj=found, name=key)

    def getattr(self, obj: Any, attribute: str) -> Any:
        if isinstance(obj, Mapping):
            return self._field(obj, attribute)
        return super().getattr(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        if isinstance(obj, Mapping):
            return self._field(obj, argument)
        return super().getitem(obj, argument)


_ENVIRONMENT = _Environment()


def _names_of(node: nodes.Node) -> list[str] | None:
    """['document', 'a', 'b'] for `document.a.b`; None if `node` is not such a chain of names."""
    if isinstance(node, nodes.Name):
        return [node.name]
    if isinstance(node, (nodes.Getattr, nodes.Getitem)):
        above = _names_of(node.node)
        key = node.attr if isinstance(node, nodes.Getattr) else getattr(node.arg, "value", None)
        if above is None or not isinstance(key, str):
            return None
        return [*above, key]
    return None


def _longest(node: nodes.Node) -> Iterator[tuple[list[str], int]]:
    """Yield the longest chains of names below `node`, each with its line number."""
    chain = _names_of(node)
    if chain is not None:
        yield chain, node.lineno
        return
    for child in node.iter_child_nodes():
        yield from _longest(child)


class Template:
    """The template for one file. `fields` are the document fields that it names.

    Raises:
        ValueError: the text is not a valid template, or names something unknown. The message
            contains the template's name and the line.
    """

    def __init__(self, name: str, text: str, key: str = "files") -> None:
        self.name = name
        self.key = key  # the option that contains the text, or the path of a file with it
        try:
            tree = _ENVIRONMENT.parse(text, name=name)
            self._check(tree)
            code = _ENVIRONMENT.compile(tree, name=name, filename=name)
        except jinja2.TemplateSyntaxError as error:
            why = _plain(error.message or "invalid template")
            raise self._error(error.lineno, why) from error
        self._template = jinja2.Template.from_code(
            _ENVIRONMENT, code, _ENVIRONMENT.make_globals(None)
        )

    def _error(self, line: int, message: str) -> OptionError:
        place = line if self.key == "files" else None
        text = f"the template of '{self.name}', line {line}: {message}"
        return OptionError(text, (self.key, self.name), place)

    def _check(self, tree: nodes.Template) -> None:
        for node in tree.find_all((nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)):
            raise self._error(node.lineno, "a template cannot use another template")
        for kind, there in ((nodes.Filter, _ENVIRONMENT.filters), (nodes.Test, _ENVIRONMENT.tests)):
            for called in tree.find_all(kind):
                if called.name not in there:
                    hint = nearest(called.name, there)
                    what = f"there is no {kind.__name__.lower()} '{called.name}'"
                    raise self._error(called.lineno, f"{what}; {hint}")
        known = {*_VARIABLES, *_ENVIRONMENT.globals}
        unknown = meta.find_undeclared_variables(tree) - known
        fields = set()
        for chain, line in _longest(tree):
            if chain[0] in unknown:
                hint = nearest(chain[0], _VARIABLES)
                raise self._error(line, f"there is no variable '{chain[0]}'; {hint}")
            if chain == ["document"]:
                raise self._error(line, "name a field of the document, such as 'document.smiles'")
            if chain[0] == "document":
                if any(not key or key.startswith("$") or "." in key for key in chain[1:]):
                    name = ".".join(chain[1:])
                    raise self._error(line, f"'{name}' is not a valid field of a document")
                fields.add(".".join(chain[1:]))
            if chain[0] == "molecule" and len(chain) > 1 and chain[1] not in _OF_MOLECULE:
                hint = nearest(chain[1], _OF_MOLECULE)
                raise self._error(line, f"a molecule has no '{chain[1]}'; {hint}")
        self.fields = frozenset(shortest(fields))

    def fill(self, molecule: Molecule, software: Software) -> str:
        """The content of the file for a document.

        Raises:
            BadDocument: a field is missing, null, not finite, or of the wrong type. The message
                contains the template's name and the line.
        """
        document = plain(pick(molecule.document, self.fields), "document")
        memory: Any = software.memory
        if memory is None:
            hint = "the campaign has no 'resources: {memory: MB}'"
            memory = _ENVIRONMENT.undefined(hint=hint, name="memory")
        try:
            return self._template.render(
                document=_named(document, "", self.fields),
                molecule=_of(molecule),
                id=id_text(molecule.id),
                cores=software.cores,
                memory=memory,
            )
        except Exception as error:  # an expression can raise anything
            frames = traceback.walk_tb(error.__traceback__)
            lines = [line for frame, line in frames if frame.f_code.co_filename == self.name]
            own = isinstance(error, (jinja2.TemplateError, ValueError))
            why = _plain(str(error)) if own else described(error)
            refused = BadDocument(
                f"the template of '{self.name}', line {lines[-1] if lines else '?'}: {why}"
            )
            line = lines[-1] if lines and self.key == "files" else None
            refused.place = (self.key, self.name), line
            raise refused from error


def _of(molecule: Molecule) -> Any:
    """The variable `molecule` in a template, with lengths in Å and the charge in e."""
    if not molecule.numbers:
        return _ENVIRONMENT.undefined(hint="the document has no molecule", name="molecule")
    symbols = [SYMBOLS[number] for number in molecule.numbers]
    rows = zip(symbols, molecule.numbers, molecule.coordinates, strict=True)
    return {
        "symbols": symbols,
        "numbers": list(molecule.numbers),
        "coordinates": [list(row) for row in molecule.coordinates],
        "atoms": [
            {"symbol": symbol, "number": number, "x": x, "y": y, "z": z}
            for symbol, number, (x, y, z) in rows
        ],
        "natoms": len(symbols),
        "charge": molecule.charge,
        "multiplicity": molecule.multiplicity,
        "unpaired": molecule.unpaired,
        "xyz": molecule.xyz(),
    }
