"""Tests of app/webhooks."""
