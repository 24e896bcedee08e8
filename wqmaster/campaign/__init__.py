"""The campaign file: models of its keys, and loading."""
