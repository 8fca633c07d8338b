"""Tests of app/graphql."""
