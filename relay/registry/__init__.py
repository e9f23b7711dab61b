"""The registry in Redis: transceivers and relays announce themselves, all others listen."""
