"""Tests of webhooks in, facts recorded."""
