"""The GraphQL API, over real sockets."""
