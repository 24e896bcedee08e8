"""Archives of software for workers: made, and proved by running them."""
