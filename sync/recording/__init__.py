"""Records deliveries, and tries their events until they are applied."""
