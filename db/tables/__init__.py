"""The tables, and the facts and profiles that are stored in them."""
