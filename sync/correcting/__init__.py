"""Corrections: statements of people about members of whom the portal is wrong."""
