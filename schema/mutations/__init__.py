"""What clients can change: a module for each mutation. Expected failures are results."""
