"""From the bytes of a delivery to an event: what is needed is required, the rest is mended."""
