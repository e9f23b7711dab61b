"""The cost of a packet in the XDP program, and of flows in memory and time."""
