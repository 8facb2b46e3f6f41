"""Parlance: a plugin-based NLP application server.

Importing this package loads no model library and has no side effects; ``parlance.app`` wires a server together.
"""

__all__ = ["__version__"]

__version__ = "0.1.0"
