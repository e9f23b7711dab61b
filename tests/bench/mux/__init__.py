"""What the one socket of all sessions costs for a datagram."""
