"""Resolve a campaign to its recipe, plan retries, and judge results."""
