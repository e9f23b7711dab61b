"""Spans of the set-ups of calls, and their way to a collector."""
