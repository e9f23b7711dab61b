"""A relay of several dies, is silent, drains or comes back: how long media is silent for that."""
