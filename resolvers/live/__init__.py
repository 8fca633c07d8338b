"""Live streams of changes, shared by subscribers who see the same."""
