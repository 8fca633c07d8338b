"""Executes GraphQL documents; knows GraphQL, not members."""
