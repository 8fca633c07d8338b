"""Streams of changes, shared by subscribers who see the same."""
