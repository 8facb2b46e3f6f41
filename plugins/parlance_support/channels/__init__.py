"""Wire formats of other systems."""
