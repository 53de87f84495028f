"""Circulators and thawers."""
