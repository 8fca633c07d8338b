"""Commands about single persons: correcting, exporting, forgetting."""
