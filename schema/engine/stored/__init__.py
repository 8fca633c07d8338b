"""Documents that clients name by their hash."""
