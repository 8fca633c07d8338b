"""Tests of db/feed."""
