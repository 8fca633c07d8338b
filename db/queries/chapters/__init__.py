"""Chapters, the national body, and the roles that are held in them."""
