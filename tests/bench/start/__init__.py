"""How long a relay takes from nothing to the first forwarded packet."""
