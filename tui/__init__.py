"""Screens for the bedside."""
