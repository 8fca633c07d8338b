"""Tells people where they are of what needs attention, and a watchman that all is well."""
