"""Tests of resolvers/live."""
