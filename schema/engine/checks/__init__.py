"""What a document is checked for before it is executed: its shape, its price, its overlaps."""
