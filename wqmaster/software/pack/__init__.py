"""The packing of software archives for workers, with a proof that they run."""
