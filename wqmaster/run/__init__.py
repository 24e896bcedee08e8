"""A run: the master, its feed and spool, and the collectors."""
