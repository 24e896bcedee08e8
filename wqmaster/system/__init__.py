"""This machine: processes, other programs, locks, secrets, files."""
