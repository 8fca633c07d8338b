"""The product as its users meet it: one real process, real sockets, somebody else's clients."""
