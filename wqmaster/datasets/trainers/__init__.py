"""Scripts that read an exported file with the reader of a trainer.

Each is run by the Python in which the trainer is installed, which need not have wqmaster, and
prints JSON lines: first `{"reader": ..., "version": ..., "energy": "eV" or "Eh"}`, then one object
for each row with the keys `id` (if the reader keeps it), `numbers`, `coordinates` (Angstrom),
`energy`, `forces`, `charge`, `multiplicity`, and `charges` if there are any. A value is null if the
trainer does not see it, although its reader would put a default in its place.
"""
