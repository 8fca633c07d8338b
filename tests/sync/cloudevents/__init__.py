"""The scheme of brokers."""
