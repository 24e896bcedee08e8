"""The models for the campaign file, and the code that loads it."""
