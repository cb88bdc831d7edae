"""One run: assemble, fit, conclude."""
