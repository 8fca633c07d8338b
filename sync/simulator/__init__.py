"""A simulated membership portal that sends real webhooks, for demos, load runs and tests.

It knows nothing of the service: only the form of events and how they are signed.
"""
