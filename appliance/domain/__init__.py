"""Facts and rules of a batch: pure, without I/O, clock, randomness or threads."""
