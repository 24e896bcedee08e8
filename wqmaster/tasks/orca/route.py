"""The structure of an ORCA route: keywords, blocks, and lines that ORCA would reject.

The rules come from the ORCA manual, "General Structure of the Input File". Keyword lines begin with
"!", blocks begin with "%" and end with "end", comments extend from # to the next # or to the end of
the line, and case does not matter. If ORCA finds any other line, it ends with "expect a '$', '!',
'%', '*' or '[' in the input"; if a block is not closed, it ends with "'END' was expected".
"""

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from wqmaster.tasks.leaves import Remark
from wqmaster.tasks.orca.keywords import is_known, nearest_keyword
from wqmaster.tasks.orca.remedies import comments_out

# Blocks that end with "end" (ORCA manual 6.1, "Input Blocks"; grimme-lab/orca.vim for 5.0).
_CLOSED = frozenset(
    (
        *("anmr", "anmrrc", "autoci", "basis", "casscf", "chelpg", "ci", "cim", "cipsi", "cis"),
        *("compound", "confscript", "conical", "coords", "cosmo", "cosmors", "cpcm", "cregen"),
        *("dftmrci", "dkh", "dlpnocc", "docker", "ecp", "ecrism", "eda", "elprop", "eprnmr", "esd"),
        *("frag", "freq", "geom", "goat", "ice", "iceci", "irc", "lft", "loc", "mcrpa", "md"),
        *("mdci", "mecp", "method", "mm", "mp2", "mrcc", "mrci", "mtr", "nbo", "ndoparas", "neb"),
        *("numgrad", "output", "pal", "parameters", "paras", "plots", "qmmm", "rel", "rocis"),
        *("rr", "scf", "shark", "solvator", "sym", "symmetry", "tddft", "vpt2", "xes", "xtb"),
    )
)
# Settings that have one value and no "end".
_OPEN = frozenset(("base", "id", "ljcoefficients", "maxcore", "moinp", "moread", "pointcharges"))
# Words that open an inner block, which needs its own "end", by the name of the outer block.
_NESTED = {
    "geom": frozenset(("constraints", "scan")),
    "basis": frozenset(
        ("newgto", "newauxgto", "newauxjgto", "newauxcgto", "newauxjkgto", "newcabsgto", "newecp")
    ),
    "mrci": frozenset(("newblock",)),
}
# Blocks that rarely contain inner blocks, and the words that open an inner block in them.
_PLAIN = frozenset(("cis", "cpcm", "elprop", "freq", "mdci", "mp2", "pal", "scf", "tddft"))
_INNER = ("rotate", "multipole", "efield", "efields")
_TOKEN = re.compile(r'"[^"\n]*"?|[^\s;,={}\[\]"]+')
_KEYWORD = re.compile(r"[^\s!(]*\([^()\n]*(?:\([^()\n]*\)[^()\n]*)*\)[^\s!]*|[^\s!]+")
_BLOCK = re.compile(r"%\s*([A-Za-z_]\w*)")
# A part of a line. Lines are divided before each unquoted "%" and "!".
_PART = re.compile(r'(?:[%!]|^)(?:"[^"]*"?|[^"%!])*')


@dataclass(frozen=True)
class Keyword:
    """A word after "!", as written in the route, with its line number (from 1)."""

    text: str
    line: int

    @property
    def word(self) -> str:
        """The word in lower case."""
        return self.text.lower()


@dataclass(frozen=True)
class Token:
    """A word or quoted string, as written in the route, with its line number (from 1)."""

    text: str
    line: int

    @property
    def word(self) -> str:
        """The word in lower case."""
        return self.text.lower()


@dataclass(frozen=True)
class Block:
    """A %block or a setting such as %maxcore, with everything up to the next "%" or "!"."""

    name: str
    line: int
    tokens: tuple[Token, ...]

    @property
    def text(self) -> str:
        """The block's words in lower case, separated by spaces."""
        return " ".join(token.word for token in self.tokens)

    @property
    def ends(self) -> list[int]:
        """The indices of "end" among the tokens."""
        return [place for place, token in enumerate(self.tokens) if token.word == "end"]


@dataclass(frozen=True)
class Route:
    """A route, divided into its parts."""

    keywords: tuple[Keyword, ...]
    blocks: tuple[Block, ...]
    strays: tuple[Token, ...]  # lines that ORCA would reject

    @cached_property
    def words(self) -> frozenset[str]:
        """The keywords, in lower case."""
        return frozenset(keyword.word for keyword in self.keywords)

    def block(self, *names: str) -> str:
        """The text of all blocks with these names; "" if there are no such blocks."""
        return " ".join(block.text for block in self.blocks if block.name in names)

    def has_block(self, *names: str) -> bool:
        """Whether there is a block with one of these names."""
        return any(block.name in names for block in self.blocks)

    def unknown(self) -> Iterator[Keyword]:
        """The keywords that are not in the list of ORCA's keywords, each once."""
        seen = set()
        for keyword in self.keywords:
            if keyword.word not in seen and not is_known(keyword.word):
                seen.add(keyword.word)
                yield keyword


def read(text: str) -> Route:
    """Divide the text of a route into its parts."""
    keywords: list[Keyword] = []
    blocks: list[Block] = []
    strays: list[Token] = []
    inside = False  # whether the line is in a block or setting, which can span several lines
    for number, line in enumerate(comments_out(text).splitlines(), start=1):
        for part in map(str.strip, _PART.findall(line)):
            if part.startswith("!"):
                keywords += [Keyword(word, number) for word in _KEYWORD.findall(part)]
                inside = False
            elif found := _BLOCK.match(part):
                tokens = _tokens(part[found.end() :], number)
                blocks.append(Block(found[1].lower(), number, tokens))
                inside = True
            elif inside:
                last = blocks[-1]
                tokens = (*last.tokens, *_tokens(part, number))
                blocks[-1] = Block(last.name, last.line, tokens)
            elif part and part[0] not in "$[*":
                strays.append(Token(part, number))
    strays += [stray for block in blocks for stray in _after(block)]
    return Route(
        tuple(keywords), tuple(blocks), tuple(sorted(strays, key=lambda stray: stray.line))
    )


def _tokens(text: str, line: int) -> tuple[Token, ...]:
    return tuple(Token(word, line) for word in _TOKEN.findall(text))


def _after(block: Block) -> Iterator[Token]:
    """The lines that were read with a block or setting but come after its end."""
    if block.name in _CLOSED and block.ends:
        last = block.tokens[block.ends[-1]].line
        rest = block.tokens[block.ends[-1] + 1 :]
    elif block.name in _OPEN:
        last = block.tokens[0].line if block.tokens else block.line
        rest = block.tokens[1:]
    else:
        return
    lines: dict[int, list[str]] = {}
    for token in rest:
        if token.line > last:
            lines.setdefault(token.line, []).append(token.text)
    for number, words in lines.items():
        yield Token(" ".join(words), number)


def _wrong(message: str, line: int | None) -> Remark:
    return Remark(message, "route", line)


def _odd(message: str, line: int | None) -> Remark:
    return Remark(message, "route", line, certain=False)


def remarks(options: Any) -> Iterator[Remark]:
    """Errors and warnings about the route of a step of `sequential`."""
    route = read(options.route)
    for stray in route.strays:
        yield _stray(stray)
    for block in route.blocks:
        yield from _of_block(block)
    if not route.keywords and not route.strays:
        yield _odd(
            "the route has no line of keywords ('! METHOD BASIS ...'), so ORCA uses its default "
            "method and basis set unless a block names others",
            None,
        )
    for keyword in route.unknown():
        near = nearest_keyword(keyword.word)
        hint = f"did you mean '{near}'?" if near else "see the keywords in ORCA's manual"
        yield _odd(
            f"'{keyword.text}' is not a keyword that ORCA 3 to 6.1 is known to have; {hint}",
            keyword.line,
        )


def _stray(stray: Token) -> Remark:
    words = stray.text.lower().split()
    if words == ["end"]:
        hint = "remove it: no block is open there"
    elif words[0] in _CLOSED | _OPEN and (words[-1] == "end" or not is_known(words[0])):
        hint = f"did you mean '%{stray.text:.60}'?"
    elif is_known(words[0]):
        hint = f"did you mean '! {stray.text:.60}'?"
    else:
        hint = "keywords go after '!', settings in '%BLOCK ... end'"
    return _wrong(
        f"ORCA cannot read the line '{stray.text:.60}': it begins with neither ! nor % and is not "
        f"in a block; {hint}",
        stray.line,
    )


def _of_block(block: Block) -> Iterator[Remark]:
    if block.name in _OPEN:
        return
    if block.name not in _CLOSED:
        near = difflib.get_close_matches(block.name, _CLOSED | _OPEN, n=1, cutoff=0.6)
        hint = f"did you mean '%{near[0]}'?" if near else "see the blocks in ORCA's manual"
        yield _odd(
            f"'%{block.name}' is not a block that ORCA 3 to 6.1 is known to have; {hint}",
            block.line,
        )
        return
    nested = [token.word for token in block.tokens if token.word in _NESTED.get(block.name, ())]
    there, needed = len(block.ends), len(nested) + 1
    if not there:
        yield _wrong(f"the block %{block.name} has no 'end'; add one", block.line)
    elif there < needed:
        inner = ", ".join(dict.fromkeys(nested))
        yield _wrong(
            f"the block %{block.name} has {there} 'end' but needs {needed}: one for each of "
            f"{inner}, and one for the block",
            block.line,
        )
    elif there > 1 and block.name in _PLAIN and not set(_INNER) & {t.word for t in block.tokens}:
        yield _odd(
            f"the block %{block.name} has {there} 'end', but nothing in it needs its own",
            block.line,
        )


def level(options: Mapping[str, Any]) -> str:
    """The keywords of a step's route: "wB97M-V def2-TZVPD EnGrad"."""
    text = comments_out(options["route"])
    lines = (line.strip() for line in text.splitlines())
    return " ".join(line.lstrip("! ") for line in lines if line.startswith("!"))
