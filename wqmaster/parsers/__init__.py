"""Parsers of output files: one module or package per program, with parsers and a `diagnose`."""

from wqmaster.parsers.base import Output, Parser, ProgramParsers, reads

__all__ = ["Output", "Parser", "ProgramParsers", "reads"]
