"""Symbols on labels: looked for, decoded twice, and told apart from what cannot be read."""
