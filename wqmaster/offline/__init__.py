"""Without a run: import, census, smoke, parse, reparse, rerun."""
