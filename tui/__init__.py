"""The bedside terminal."""
