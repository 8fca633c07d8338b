"""What an operator does to a database as a whole: look at it, grant rights, copy it."""
