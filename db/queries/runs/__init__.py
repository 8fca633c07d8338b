"""Runs that compare a source with what is known, and what they remember of it."""
