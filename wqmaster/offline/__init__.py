"""Work on a campaign apart from its run: import, adopt, smoke, audit, parse, reparse, rerun, ..."""
