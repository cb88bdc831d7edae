"""Pictures of results: every function gives a matplotlib Figure. `run.py` has those of a run, by name."""
