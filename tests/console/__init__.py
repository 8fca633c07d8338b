"""The console in a real browser. In a process of its own: Playwright's synchronous API keeps an
event loop running in the main thread, and no asynchronous test can run beside it."""
