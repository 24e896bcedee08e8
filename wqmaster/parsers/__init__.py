"""Parsers of output files: one module per program, each with its parsers and a `diagnose`."""

from wqmaster.parsers.base import Output, Parser, ProgramParsers, reads

__all__ = ["Output", "Parser", "ProgramParsers", "reads"]
