"""Loggers of a training."""
