"""How many calls one core of a transceiver carries."""
