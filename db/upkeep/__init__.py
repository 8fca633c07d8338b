"""Upkeep of a database as a whole: examine it, grant rights, copy it."""
