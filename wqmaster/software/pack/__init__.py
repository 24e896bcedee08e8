"""Pack software archives for workers, and prove that they run."""
