"""Pack archives of software for workers, and prove that they run."""
