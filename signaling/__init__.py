"""Icelane's signaling: HTTP offer and answer, and where a session is placed."""
