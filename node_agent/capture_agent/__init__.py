"""The node agent: finds the pods it was dispatched, enforces their programs, reports evidence."""
