"""Middleware around every route: origins, rates, security headers, bodies and request ids.

Nothing here knows the viewer.
"""
