"""Molecules, jobs and tasks, their failures, and their form on the wire."""
