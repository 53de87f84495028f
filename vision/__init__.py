"""Pixels in, numbers out: symbols, cells, label pictures. Knows no patient."""
