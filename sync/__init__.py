"""Webhooks in, facts recorded: verifies deliveries, applies events, retries and replays them."""
