"""Texts in, results out: tokenise → batch → run → decode, for every task."""
