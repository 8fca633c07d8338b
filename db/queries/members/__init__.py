"""Members: as they are read, as events write them, and who may see them."""
