"""The application around the API: HTTP, credentials, settings and the command line."""
