"""The nouns of the GraphQL schema."""
