"""Output text -> values. One module a program, each with its parsers and a `diagnose`."""

from wqmaster.parsers.base import Output, Parser, ProgramParsers, reads

__all__ = ["Output", "Parser", "ProgramParsers", "reads"]
