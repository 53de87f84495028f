"""The batch record: append, read, verify, export."""
