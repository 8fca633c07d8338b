"""Webhooks in, facts recorded: verification, events, handlers, the portal simulator."""
