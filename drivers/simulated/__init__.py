"""Simulated devices on pseudo-terminals that share one physical world."""
