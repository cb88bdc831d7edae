"""Networks, one file per family, and how their weights begin."""
