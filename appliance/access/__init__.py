"""People, sessions, signatures, keys and signed documents."""
