"""The knowledge base: entries, and how files become entries."""
