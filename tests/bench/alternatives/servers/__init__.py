"""What many sessions take of a server that has a port for each, and of one that has one port."""
