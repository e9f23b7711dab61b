"""Many relays behind one address, with many flows, each of which is killed in turn."""
