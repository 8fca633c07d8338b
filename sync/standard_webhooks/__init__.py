"""The Standard Webhooks scheme, which signs each delivery; the default."""
