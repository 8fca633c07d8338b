"""Alembic's migrations. They import no models: what a migration made stays what it was."""
