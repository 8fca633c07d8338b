"""Concerns: what somebody must look after, the same in GraphQL, console, metrics and alerts."""
