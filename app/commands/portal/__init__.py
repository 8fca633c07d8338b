"""Commands about the portal: comparing with it, reading its tables, playing it."""
