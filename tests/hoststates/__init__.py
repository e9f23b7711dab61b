"""States that a host can be in: what works in them, and what is said where it does not."""
