"""The GraphQL route and its transports: HTTP, WebSocket and server-sent events."""
