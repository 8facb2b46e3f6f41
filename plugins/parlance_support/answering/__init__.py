"""Deciding: which entry answers a question best, how sure that is, and what to say when nothing fits."""
