"""Lines of what programs say: the last one of a text, and those that come through a pipe."""


def last_line(text: str) -> str:
    """The last line that is not empty, without the blanks around it; "" if there is none."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")


class LineBuffer:
    """Makes whole lines of what arrives in pieces."""

    def __init__(self) -> None:
        self.rest = b""  # of a line whose end has not come yet

    def add(self, piece: bytes) -> list[bytes]:
        """The lines that are whole with `piece`, without their ends."""
        *lines, self.rest = (self.rest + piece).split(b"\n")
        return lines
