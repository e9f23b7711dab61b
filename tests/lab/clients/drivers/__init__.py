"""The programs of the clients; see `tests.lab.clients` for their interface."""
