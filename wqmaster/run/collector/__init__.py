"""Collectors: the processes, and the master's side of them."""
