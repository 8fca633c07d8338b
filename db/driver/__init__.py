"""Connections, transactions and statements, below everything that knows a table by name."""
