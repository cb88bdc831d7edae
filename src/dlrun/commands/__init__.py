"""What is done beside running: help."""
