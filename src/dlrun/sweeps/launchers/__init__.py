"""Launchers: where the parts of a larger run are run."""
