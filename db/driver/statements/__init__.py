"""Statements: compiled once, in bulk, several in one round trip."""
