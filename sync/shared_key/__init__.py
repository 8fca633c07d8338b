"""The shared-key scheme, for senders that cannot sign."""
