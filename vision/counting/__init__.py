"""Cells in pictures of a stained sample: found, classified, judged, and turned into a dose."""
