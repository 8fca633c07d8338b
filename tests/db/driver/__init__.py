"""Tests of db/driver."""
