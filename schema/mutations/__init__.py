"""The mutations, a module each. Expected failures are results, not errors."""
