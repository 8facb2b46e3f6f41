"""Conversations: one turn after another, stored, each message once."""
