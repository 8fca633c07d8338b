"""The change feed: stored changes, the process that reads them and the bell that wakes it."""
