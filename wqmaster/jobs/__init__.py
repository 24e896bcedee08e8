"""Molecules, jobs and tasks, how they fail, and what of them goes over the wire."""
