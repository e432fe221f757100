"""Picture sheets of body models: rest, posed, named points, shape and expression components. Needs no Qt and no torch."""
