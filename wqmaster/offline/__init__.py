"""Work on a campaign without running it: import, census, smoke, parse, reparse, rerun."""
