"""Queries: what is read from and written to the tables, a room for each noun."""
