"""Scripts that make the committed weights; nothing here runs on a unit."""
