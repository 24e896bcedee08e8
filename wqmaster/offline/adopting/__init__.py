"""Existing outputs as documents with results: find, read and judge them, in several processes."""
