"""The service: one process owns engine and workers, and each campaign has its own process."""
