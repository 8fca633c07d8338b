"""A simulated membership portal: real events for demos, load runs and tests, no Dynamics needed."""
