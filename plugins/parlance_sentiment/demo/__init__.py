"""Demonstration data: invented headlines about invented companies."""
