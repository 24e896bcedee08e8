"""The machine that wqmaster runs on: processes, locks, secrets, binaries."""
