"""The version of dlrun."""

__version__ = "0.2.0"
