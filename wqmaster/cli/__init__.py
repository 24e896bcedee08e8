"""The command line: one file a verb; the verbs hold no logic."""
