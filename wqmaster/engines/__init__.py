"""Engines take tasks and return archives: Work Queue, TaskVine, and one without either."""
