"""The command line: one file per command; commands contain no logic."""
