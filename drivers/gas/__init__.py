"""Gas flow: mass-flow controllers."""
