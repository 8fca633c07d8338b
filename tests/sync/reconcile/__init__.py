"""Reconciliation with what a source says of all its members."""
