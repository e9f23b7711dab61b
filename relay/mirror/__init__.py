"""The mirror: confirmed flows in Redis, from which a restarted relay recovers."""
