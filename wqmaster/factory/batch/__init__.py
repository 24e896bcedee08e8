"""The batch systems that run workers."""
