"""The GraphQL contract: types, connections, context and limits. No SQL, no I/O of its own."""
