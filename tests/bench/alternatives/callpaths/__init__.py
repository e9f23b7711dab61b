"""What calls by each path are measured for: delay, processor time, and what a restart does."""
