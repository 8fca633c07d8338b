"""Parses the bytes of a delivery into an event: what is needed is required, the rest is mended."""
