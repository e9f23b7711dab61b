"""What is asked of each contestant."""
