"""An agent that comes back: how long until it serves, and how long it is busy at a time."""
