"""The table of statements, tests and results."""
