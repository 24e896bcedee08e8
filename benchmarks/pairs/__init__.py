"""What the benchmarks share that compare wqmaster with another program."""
