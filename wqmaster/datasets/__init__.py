"""Data sets: results of campaigns as files that trainers of neural-network potentials read."""
