"""What goes wrong in life, done on purpose."""
