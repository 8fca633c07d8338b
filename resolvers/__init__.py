"""Reads of members and the sync log for GraphQL fields, and live streams of their changes."""
