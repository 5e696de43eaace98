"""Files that problems stand in: one module a shape, each a generator of problems."""
