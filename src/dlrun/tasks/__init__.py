"""What is learned: from labels to figures."""
