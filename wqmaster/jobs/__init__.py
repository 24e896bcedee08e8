"""Molecules, jobs and tasks, their failures, and the archives in which they travel."""
