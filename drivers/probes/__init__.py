"""Drivers of in-line probes."""
