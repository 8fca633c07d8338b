"""Takes deliveries in: verifies them, queues them for recording, and answers their senders."""
