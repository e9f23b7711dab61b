"""Calls that go on, and begin, while strangers flood the relay."""
