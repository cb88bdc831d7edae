"""How good is it: metrics, baselines, the table of results."""
