"""Demonstration data: a made-up magazine and shop, in English and Chinese."""
