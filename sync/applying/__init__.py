"""Applies events to members, chapters and roles, in memory, oldest first."""
