"""The types, inputs and scalars of the schema."""
