"""Valves and what else hangs on switched outputs."""
