"""Audits: a sample of a campaign's labels, recomputed with tighter settings and compared."""
