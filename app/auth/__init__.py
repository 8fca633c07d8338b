"""Who is asking: bearer tokens, and the keys they are verified with. Never what somebody may do."""
