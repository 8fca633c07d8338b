"""Connections, transactions and statements; nothing here knows a table by name."""
