"""The console's pages and its sign-in."""
