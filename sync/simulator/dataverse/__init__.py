"""A Dataverse of the simulator's own: tables, and a Web API over them, for tests and trials."""
