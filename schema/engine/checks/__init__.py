"""Checks of a document before it is executed: its shape, its price, its overlaps."""
