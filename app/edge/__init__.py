"""What stands around every route: who may connect from where, how often, and what browsers are
told. Nothing here knows who is asking."""
