"""Find the slowest parsers on 10 MB of pathological input.

    ./shell python benchmarks/parsers_worst.py [FOLDER...]

Most inputs are headings from the test fixtures and from the outputs below each FOLDER, repeated up
to 10 MB, alone or with the lines that follow. The others are the usual garbage: one long line, open
brackets, digits, spaces. The benchmark prints the slowest parsers with their inputs.
"""

import argparse
import itertools
import time
from collections.abc import Iterator
from pathlib import Path

from wqmaster.errors import ParseError
from wqmaster.offline.parse import parsers_named
from wqmaster.parsers.base import Output
from wqmaster.tasks.programs import programs

SIZE = 10_000_000
FIXTURES = Path(__file__).resolve().parents[1] / "tests" / "unit" / "data"
RUBBISH = {
    "one long line of digits": b"1" * SIZE,
    "one long line of numbers": b"1.0 " * (SIZE // 4),
    "spaces": b" " * SIZE,
    "empty lines": b"\n" * SIZE,
    "open brackets": b"[" * SIZE,
    "nested objects": b'{"a":' * (SIZE // 5),
    "stars": b"*" * SIZE,
    "dashes": b"-" * SIZE,
    "one digit per line": b"1\n" * (SIZE // 2),
    "rows of a table": b"   0 C :   -0.123456\n" * (SIZE // 21),
    "zero bytes": b"\0" * SIZE,
    "invalid UTF-8": b"\xff" * SIZE,
}


def repeated(paths: list[Path]) -> Iterator[tuple[str, bytes]]:
    """Yield each heading, alone or with the lines that follow, repeated up to 10 MB."""
    seen: set[bytes] = set()
    for path in paths:
        lines = path.read_bytes()[:400_000].split(b"\n")
        for number, line in enumerate(lines):
            words = b" ".join(word for word in line.split() if word.isalpha())
            if len(words) < 8 or words in seen:
                continue
            seen.add(words)
            for length in (1, 8, 40):
                part = b"\n".join(lines[max(0, number - 1) : number + length]) + b"\n"
                yield f"{path.name}:{number + 1}, {length} lines", part * (SIZE // len(part) + 1)


def main() -> None:
    """Time all parsers, and print the slowest."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("folders", nargs="*", type=Path)
    options.add_argument("--every", type=int, default=25, help="Use every Nth repeated heading.")
    options.add_argument("--program", action="append", choices=sorted(programs()))
    asked = options.parse_args()
    slowest: list[tuple[float, str, str]] = []
    for program in asked.program or sorted(programs()):
        parsers = parsers_named(programs()[program])
        places = [FIXTURES / program, *asked.folders]
        paths = [path for place in places for path in sorted(place.rglob("*")) if path.is_file()]
        inputs = itertools.chain(
            RUBBISH.items(), itertools.islice(repeated(paths), 0, None, asked.every)
        )
        count = 0
        names = {file for parser in parsers.values() for file in parser.files}  # type: ignore[attr-defined]
        for what, content in inputs:
            count += 1
            output = Output(dict.fromkeys({*names, "stdout"}, content))
            for name, parser in [*parsers.items(), ("diagnose", None)]:
                begun = time.perf_counter()
                try:
                    if parser is None:
                        programs()[program].module.diagnose(output, None, {})
                    else:
                        parser(output.beside(parser.files[0]))  # type: ignore[attr-defined]
                except ParseError:
                    pass
                slowest.append((time.perf_counter() - begun, f"{program}.{name}", what))
        slowest = sorted(slowest, reverse=True)[:15]
        print(f"{program}: {count} inputs of 10 MB, {len(parsers)} parsers", flush=True)
    for seconds, name, what in slowest:
        print(f"{seconds:6.2f} s  {name:<34} {what}")


if __name__ == "__main__":
    main()
