"""Reconciliation: what a source says of all its members, beside what is known here."""
