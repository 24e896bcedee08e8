"""Access to this machine: processes, other programs, locks, secrets and files."""
