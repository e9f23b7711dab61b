"""What a record of the mirror costs: a relay, and Redis."""
