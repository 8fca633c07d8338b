"""Commands that read the sync log and replay its events."""
