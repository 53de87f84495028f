"""Touch widgets."""
