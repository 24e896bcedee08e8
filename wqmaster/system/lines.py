"""Lines of output: the last line of a text, and the lines that arrive through a pipe."""


def last_line(text: str) -> str:
    """The last line of `text` that is not blank, stripped; "" if there is none."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")


class LineBuffer:
    """Assembles lines from pieces of output that end anywhere."""

    def __init__(self) -> None:
        self.rest = b""  # the beginning of a line that is not complete yet

    def add(self, piece: bytes) -> list[bytes]:
        """The lines that `piece` completes, without their newlines."""
        *lines, self.rest = (self.rest + piece).split(b"\n")
        return lines
