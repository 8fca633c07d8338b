"""Dataverse: what the portal's own messages and rows mean here."""
