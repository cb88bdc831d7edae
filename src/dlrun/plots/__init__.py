"""Pictures: one function each."""
