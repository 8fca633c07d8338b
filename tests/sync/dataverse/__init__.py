"""Dataverse as a source."""
