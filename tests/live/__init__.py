"""Live changes over their transports: streams that are shared, sockets, server-sent events."""
