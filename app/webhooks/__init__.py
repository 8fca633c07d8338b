"""The route that takes deliveries."""
