"""Damage an output at random: cuts, flipped bits, and lost, repeated or shuffled lines."""

import random

# Replacements for a word in the output, which can be a number or part of a heading.
ODD_WORDS = (
    b"****************",
    b"NaN",
    b"-Infinity",
    b"1e999",
    b"99999999999999999999999",
    b"-1",
    b"0",
    b"1.0D+05",
    b"\xff\xfe",
    "\uff11\uff12".encode(),  # digits, but not ASCII
    b"{",
    b"[" * 50,
    b"",
)
_SWAPS = ((b"\n", b"\r\n"), (b"\n\n", b"\n"), (b" ", b"\t"), (b"0", b""), (b".", b","), (b"-", b""))
_MAX_CHANGES = 4
_MAX_FLIPS = 20


def mutated(content: bytes, chance: random.Random) -> bytes:
    """`content` with one to four random changes."""
    for _ in range(chance.randint(1, _MAX_CHANGES)):
        lines = content.split(b"\n")
        at, other = sorted((chance.randrange(len(lines)), chance.randrange(len(lines))))
        kind = chance.randrange(8)
        if kind == 0:
            content = content[: chance.randrange(len(content) + 1)]
        elif kind == 1:
            content = content[chance.randrange(len(content) + 1) :]
        elif kind == 2:
            flipped = bytearray(content)
            for _ in range(chance.randint(1, _MAX_FLIPS) if flipped else 0):
                flipped[chance.randrange(len(flipped))] ^= 1 << chance.randrange(8)
            content = bytes(flipped)
        elif kind == 3:
            content = b"\n".join([*lines[:other], *lines[at:other], *lines[other:]])
        elif kind == 4:
            content = b"\n".join([*lines[other:], *lines[at:other], *lines[:at]])
        elif kind == 5:
            content = b"\n".join([*lines[:at], *lines[other:]])
        elif kind == 6:
            words = lines[at].split(b" ")
            words[chance.randrange(len(words))] = chance.choice(ODD_WORDS)
            lines[at] = b" ".join(words)
            content = b"\n".join(lines)
        else:
            content = content.replace(*chance.choice(_SWAPS))
    return content
