"""Tests of db/queries."""
