"""The route of deliveries."""
