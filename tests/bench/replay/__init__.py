"""How long packets go the old way after the network of a relay changes."""
