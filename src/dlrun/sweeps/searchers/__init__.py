"""Searchers: which settings a sweep tries next."""
