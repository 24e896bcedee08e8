"""Engines, which take tasks and return archives: Work Queue, TaskVine and the local pool."""
