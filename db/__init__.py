"""The only package that speaks SQLAlchemy, database drivers and broadcaster."""
