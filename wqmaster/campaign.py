"""The campaign file as frozen, validated models.

An error names file and line, what is wrong there, and the nearest right word.
"""

import difflib
import os
import re
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from bson import ObjectId
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from wqmaster.errors import CampaignError

# Step and campaign names become field names in MongoDB and file names on workers.
NAME = r"^[A-Za-z0-9][A-Za-z0-9_-]*$"
# A field of a document, dots for fields within fields.
FIELD = r"^[^$.\x00][^.\x00]*(\.[^$.\x00][^.\x00]*)*$"

_VARIABLE = re.compile(r"\$(\$?)\{([A-Za-z_][A-Za-z0-9_]*)\}")


def nearest(word: str, words: Iterable[str]) -> str:
    """A hint naming the nearest of the right words, or all of them if none is near."""
    known = sorted(set(words))
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if near:
        return f"did you mean '{near[0]}'?"
    return f"known here: {', '.join(known)}" if known else "none is known here"


class Model(BaseModel):
    """Base of all models of the file: frozen; an unknown key is refused with the nearest one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and cls.model_config.get("extra") == "forbid":
            for key in data:
                if key not in cls.model_fields:
                    hint = nearest(str(key), cls.model_fields)
                    raise PydanticCustomError(
                        "unknown_key",
                        "unknown key '{key}'; {hint}",
                        {"key": str(key), "hint": hint},
                    )
        return data


def _typed(value: Any) -> Any:
    """`engine: local` is short for `engine: {type: local}`."""
    return {"type": value} if isinstance(value, str) else value


class Step(Model):
    """One entry of `args:`. What is not named here are options of the task function."""

    model_config = ConfigDict(frozen=True, extra="allow")

    name: str = Field(pattern=NAME)
    # Parsers of the step: a list, or by the file that each one reads.
    parsers: dict[str, list[str]] | list[str] = Field(default_factory=list)
    # Files to keep beside the results: name in the sandbox -> name with {id}.
    keep_files: dict[str, str] = Field(default_factory=dict)

    @property
    def options(self) -> dict[str, Any]:
        """The options for the task function, as the file has them."""
        return dict(self.model_extra or {})


class Kwargs(Model):
    """`campaign_config.kwargs`: where in the document results are stored."""

    mongo_output_key: str = Field(pattern=FIELD)


class CampaignConfig(Model):
    """`campaign_config`: which calculation."""

    func_name: str
    # Seconds that all the steps of one job may take together.
    job_timeout: int = Field(default=3600, gt=0)
    args: list[Step] = Field(min_length=1)
    kwargs: Kwargs | None = None

    @model_validator(mode="after")
    def _names_differ(self) -> "CampaignConfig":
        names = [step.name for step in self.args]
        for name in names:
            if names.count(name) > 1:
                raise PydanticCustomError(
                    "step_twice", "two steps are named '{name}'", {"name": name}
                )
        return self


class Submit(Model):
    """`submit`: on which documents."""

    query: dict[str, Any] = Field(default_factory=dict)
    # Further fields that the task function needs, beside those of the molecule.
    projection: list[Annotated[str, Field(pattern=FIELD)]] = Field(default_factory=list)
    # Category of the tasks in the engine, as `queue` of the RQ framework named it.
    queue: str | None = None


class Database(Model):
    """`database`. Without a uri, a private MongoDB server runs in the campaign's folder."""

    uri: str | None = Field(default=None, repr=False)
    name: str = Field(default="wqmaster", pattern=r"^[^/\\. \"$*<>:|?\x00]+$")
    collection: str = Field(default="molecules", pattern=r"^[^$\x00]+$")


class MoleculeFields(Model):
    """`molecule`: the fields of a document that describe its molecule."""

    # Atomic numbers, or element symbols.
    atomic_numbers: str = Field(default="atomic_numbers", pattern=FIELD)
    # Angstrom; [[x, y, z], ...] or flat.
    coordinates: str = Field(default="coordinates", pattern=FIELD)
    # 0 where a document has none.
    charge: str = Field(default="charge", pattern=FIELD)
    # 1 where a document has none.
    multiplicity: str = Field(default="multiplicity", pattern=FIELD)
    # Whether a document without atoms is refused; some task functions need none (docking).
    required: bool = True

    @property
    def names(self) -> set[str]:
        """The fields that are to be fetched."""
        return {self.atomic_numbers, self.coordinates, self.charge, self.multiplicity}


class Resources(Model):
    """`resources`: what one job may use."""

    cores: int = Field(default=1, gt=0)
    # MB. Without it, a job has its cores' share of the worker's memory.
    memory: int | None = Field(default=None, gt=0)
    # MB. Without it, a job has its cores' share of the worker's disk.
    disk: int | None = Field(default=None, gt=0)


class Program(Model):
    """How to call one program of `software:`."""

    # Program and first arguments, quoted as in a shell.
    command: str

    @field_validator("command")
    @classmethod
    def _words(cls, command: str) -> str:
        try:
            words = shlex.split(command)
        except ValueError as error:
            raise PydanticCustomError(
                "no_command",
                "'{command}' is no command: {why}",
                {"command": command, "why": str(error)},
            ) from error
        if not words or not words[0]:
            raise PydanticCustomError("no_command", "there is no command here")
        return command


class Engine(Model):
    """`engine`: what runs the tasks."""

    type: Literal["auto", "work_queue", "local"] = "auto"
    # The port that workers connect to; 0 takes any that is free.
    port: int = Field(default=0, ge=0, le=65535)


class Workers(Model):
    """`workers`: where tasks run. `local` ones are started and stopped by the master."""

    type: Literal["local", "none"] = "local"
    # Number of local workers; as many as this machine's cores allow where it is left out.
    count: int | None = Field(default=None, gt=0)


class Bundle(Model):
    """`bundle`: how many jobs make one task."""

    size: int = Field(default=1, gt=0, le=1000)


class Archive(Model):
    """`archive`: how outputs travel and what is kept of them."""

    # gzip for the wide network; none where workers are near.
    compression: Literal["gzip", "none"] = "none"
    # Whose raw outputs are kept: of failed attempts, of all (for `wqmaster reparse`), of none.
    keep: Literal["failed", "all", "none"] = "failed"


def _command(value: Any) -> Any:
    return {"command": value} if isinstance(value, str) else value


class Campaign(Model):
    """A whole campaign file."""

    campaign: str = Field(pattern=NAME)
    campaign_config: CampaignConfig
    submit: Submit = Field(default_factory=Submit)
    database: Database = Field(default_factory=Database)
    molecule: MoleculeFields = Field(default_factory=MoleculeFields)
    resources: Resources = Field(default_factory=Resources)
    software: dict[str, Annotated[Program, BeforeValidator(_command)]] = Field(default_factory=dict)
    engine: Annotated[Engine, BeforeValidator(_typed)] = Field(default_factory=Engine)
    workers: Annotated[Workers, BeforeValidator(_typed)] = Field(default_factory=Workers)
    bundle: Bundle = Field(default_factory=Bundle)
    archive: Archive = Field(default_factory=Archive)
    # Failure class -> its ladder of remedies, in the place of the program's own; false: none.
    remedies: dict[str, list[dict[str, Any] | str]] | Literal[False] = Field(default_factory=dict)
    # Folder of spool, logs, kept files; beside the campaign file where it is left out.
    folder: Path | None = None

    @property
    def output_key(self) -> str:
        """The field of a document under which its results stand."""
        kwargs = self.campaign_config.kwargs
        return kwargs.mongo_output_key if kwargs else self.campaign

    @property
    def steps(self) -> list[Step]:
        """The steps of a job, in the order in which they run."""
        return self.campaign_config.args


class Source:
    """A campaign file's text, to say at which line something stands."""

    def __init__(self, path: Path, root: yaml.Node | None) -> None:
        self.path = path
        self._root = root

    def where(self, *keys: str | int) -> str:
        """`file:line` of the value at `keys`, or of the last one of them that the file has."""
        node, line = self._root, 1
        for key in keys:
            found: tuple[yaml.Node, int] | None = None
            if isinstance(node, yaml.MappingNode):
                for name, value in node.value:
                    if name.value == str(key):
                        found = value, name.start_mark.line + 1
            elif (
                isinstance(node, yaml.SequenceNode)
                and isinstance(key, int)
                and key < len(node.value)
            ):
                found = node.value[key], node.value[key].start_mark.line + 1
            if found is None:
                continue
            node, line = found
        return f"{self.path}:{line}"

    def error(self, message: str, *keys: str | int) -> CampaignError:
        """The error that `message` is wrong at `keys`."""
        return CampaignError(f"{self.where(*keys)}: {message}")


class LoadedCampaign:
    """A validated campaign with the text it came from."""

    def __init__(self, campaign: Campaign, source: Source, variables: frozenset[str]) -> None:
        self.campaign = campaign
        self.source = source
        # Names of the environment variables that the file takes values from: secrets, maybe.
        self.variables = variables

    def completed(self, fields: Iterable[str], molecule: bool) -> "LoadedCampaign":
        """The campaign with what its task function needs: fields of a document, a molecule."""
        campaign = self.campaign
        projection = list(dict.fromkeys([*campaign.submit.projection, *fields]))
        required = campaign.molecule.required and molecule
        changes = {
            "submit": campaign.submit.model_copy(update={"projection": projection}),
            "molecule": campaign.molecule.model_copy(update={"required": required}),
        }
        return LoadedCampaign(campaign.model_copy(update=changes), self.source, self.variables)

    def replaced(self, *, engine: str | None = None, port: int | None = None) -> "LoadedCampaign":
        """The campaign with what the command line says in the place of what the file says."""
        given = {"type": engine, "port": port}
        changes = {name: value for name, value in given.items() if value is not None}
        settings = self.campaign.engine.model_copy(update=changes)
        campaign = self.campaign.model_copy(update={"engine": settings})
        return LoadedCampaign(campaign, self.source, self.variables)

    @property
    def folder(self) -> Path:
        """The folder of spool, logs and kept files (absolute)."""
        beside = self.source.path.parent
        folder = self.campaign.folder or Path(f"{self.campaign.campaign}.run")
        return (beside / folder).absolute()


def _variables(node: yaml.Node | None, source: Source, environ: Mapping[str, str]) -> set[str]:
    """Put values of the environment into the scalars below `node`; the names that were used."""
    used: set[str] = set()

    def value_of(match: re.Match[str], node: yaml.Node) -> str:
        escaped, name = match.groups()
        if escaped:
            return match[0][1:]
        if name not in environ:
            raise CampaignError(
                f"{source.path}:{node.start_mark.line + 1}: the environment variable "
                f"'{name}' is not set; export {name}=... and try again"
            )
        used.add(name)
        return environ[name]

    visited: set[int] = set()

    def visit(node: yaml.Node | None) -> None:
        if id(node) in visited:  # an alias
            return
        visited.add(id(node))
        if isinstance(node, yaml.MappingNode):
            seen: set[str] = set()
            for key, value in node.value:
                if isinstance(key, yaml.ScalarNode) and key.value in seen:
                    raise CampaignError(
                        f"{source.path}:{key.start_mark.line + 1}: the key '{key.value}' "
                        "stands twice here; remove one"
                    )
                seen.add(key.value if isinstance(key, yaml.ScalarNode) else "")
                visit(value)
        elif isinstance(node, yaml.SequenceNode):
            for value in node.value:
                visit(value)
        elif isinstance(node, yaml.ScalarNode) and "${" in node.value:
            node.value = _VARIABLE.sub(lambda match: value_of(match, node), node.value)

    visit(node)
    return used


def _extended(value: Any) -> Any:
    """{$oid: ...} as MongoDB's extended JSON writes an object id; the rest as it is."""
    if isinstance(value, dict):
        if set(value) == {"$oid"}:
            return ObjectId(str(value["$oid"]))
        return {key: _extended(item) for key, item in value.items()}
    return [_extended(item) for item in value] if isinstance(value, list) else value


def describe(error: ValidationError, source: Source, *above: str | int) -> CampaignError:
    """What pydantic found, in the words of the campaign file."""
    lines: list[tuple[tuple[str | int, ...], str]] = []
    for found in error.errors():
        keys = [*above, *(key for key in found["loc"] if not _is_branch(key, source, found))]
        context = found.get("ctx") or {}
        name = ".".join(str(key) for key in keys)
        if found["type"] == "unknown_key":
            keys.append(str(context.get("key")))
        message = found["msg"].removeprefix("Value error, ")
        message = message.replace("Input should be", "should be").replace(
            "valid tuple", "valid list"
        )
        if found["type"] == "missing":
            message = f"the key '{found['loc'][-1]}' is missing"
            name = ".".join(str(key) for key in keys[:-1])
        if found["type"] == "string_pattern_mismatch":
            message = f"{found['input']!r} is not a name that can be used here"
        line = f"{source.where(*keys)}: {name + ': ' if name else ''}{message}"
        lines.append((tuple(keys), line))
    # Of the branches of a union, the one that came further is the one that is meant.
    kept = (
        line
        for keys, line in lines
        if not any(len(other) > len(keys) and other[: len(keys)] == keys for other, _ in lines)
    )
    return CampaignError("\n".join(dict.fromkeys(kept)))


def _is_branch(key: str | int, source: Source, found: Any) -> bool:
    """Pydantic names the branch of a union in the place of an error: no key of the file."""
    return isinstance(key, str) and bool(re.search(r"[\[(]|^(function|list|dict|str|int)$", key))


def load(path: str | Path, environ: Mapping[str, str] = os.environ) -> LoadedCampaign:
    """Read and validate the campaign file at `path`.

    Raises:
        CampaignError: the file cannot be read, is no YAML, or says what it cannot mean.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise CampaignError(f"{path}: there is no such campaign file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise CampaignError(f"{path}: the campaign file cannot be read: {error}") from error
    loader: yaml.SafeLoader | None = None
    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        source = Source(path, root)
        variables = _variables(root, source, environ)
        data = loader.construct_document(root) if root else None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        problem = " ".join(part for part in (error.problem, error.context) if part)
        raise CampaignError(f"{path}:{line}: this is no YAML: {problem}") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise CampaignError(
            f"{path}:{line}: this is no YAML: the character {chr(error.character)!a} cannot be "
            "in it"
        ) from error
    except (yaml.YAMLError, ValueError) as error:
        raise CampaignError(f"{path}: this is no YAML: {error}") from error
    finally:
        if loader is not None:
            loader.dispose()
    if not isinstance(data, dict):
        raise CampaignError(f"{path}:1: a campaign file is a mapping, with 'campaign:' first")
    try:
        if isinstance(data.get("submit"), dict):
            data["submit"] = _extended(data["submit"])
        campaign = Campaign.model_validate(data)
    except ValidationError as error:
        raise describe(error, source) from error
    except (Exception, RecursionError) as error:
        raise source.error(f"the query cannot be read: {error}", "submit", "query") from error
    return LoadedCampaign(campaign, source, frozenset(variables))
