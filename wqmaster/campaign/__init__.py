"""The campaign file: its keys as models, and its text."""
