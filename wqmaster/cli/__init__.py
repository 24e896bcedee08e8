"""The command line: one file per command; commands hold no logic."""
