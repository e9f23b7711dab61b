"""What it takes to find a client that has moved, by asking transceivers or by Redis."""
