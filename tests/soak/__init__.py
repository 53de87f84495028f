"""Long suites by seed, with a budget of time; `make soak MINUTES=60` runs them."""
