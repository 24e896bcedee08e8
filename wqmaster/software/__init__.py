"""Software for workers: archives are inspected, packed and proved to run."""
