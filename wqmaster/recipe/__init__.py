"""Resolving what a campaign asks for, planning retries, and judging results."""
