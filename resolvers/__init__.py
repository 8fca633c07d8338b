"""How a field is answered: plain async functions from arguments to rows."""
