"""The batch record for a human, on the screen and on paper. Begin at `batch_record.py`."""
