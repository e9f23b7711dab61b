"""What an operator sees of a running relay: the admin socket, listings of flows, metrics."""
